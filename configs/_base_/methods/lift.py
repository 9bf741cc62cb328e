# LIFT (Shi et al., ICML 2024): adapters in a frozen vision transformer, and a
# cosine classifier that starts from class means. A leaf names the transformer
# (backbone.frozen); pretrained=FILE gives its weights.
_base_ = './la.py'
method_name = 'LIFT'
model = dict(
    backbone=dict(
        type='bcl_mm.AdaptedBackbone', adapter='adaptformer', channels=8
    ),
    neck=None,
    head=dict(classifier='cosine', scale=25.0),
)
custom_hooks = [dict(type='bcl_mm.LIFTHook')]
