# Ablation: BCL whose prototypes are the corners of a fixed simplex. It needs
# out_channels >= number of classes - 1.
_base_ = './la.py'
method_name = 'BCL, fixed simplex'
model = dict(
    head=dict(
        branches=dict(
            con=dict(
                type='bcl_mm.PrototypeContrast',
                loss=dict(type='bcl_mm.BalancedContrastiveLoss'),
                fixed_prototypes=True,
                weight=0.35,
            )
        )
    )
)
custom_hooks = [dict(type='bcl_mm.ClassComplementHook')]
