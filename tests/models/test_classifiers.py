import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from bcl_mm.registry import MODELS


def make(frozen=True, base_channels=4, **options):
    kind = 'bcl_mm.FrozenBackboneClassifier' if frozen else None
    return MODELS.build(
        dict(
            type=kind or 'mmpretrain.ImageClassifier',
            data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'),
            backbone=dict(
                type='bcl_mm.CIFARResNet', depth=8, base_channels=base_channels
            ),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(
                type='bcl_mm.BCLHead',
                num_classes=3,
                in_channels=4 * base_channels,
                classifier='linear',
                loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
                loss_con=None,
            ),
            **options,
        )
    )


@pytest.fixture
def first_stage(tmp_path):
    """A checkpoint whose statistics are not the initial ones."""
    model = make(frozen=False)
    model.train()
    model.extract_feat(torch.randn(8, 3, 8, 8) + 1)
    path = tmp_path / 'first.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path, model.state_dict()


def test_only_the_head_learns(first_stage):
    path, before = first_stage
    model = make(pretrained=str(path))
    model.init_weights()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    for name, value in before.items():
        if name.startswith('backbone.'):
            assert torch.equal(start[name], value)
    # The head is a new one.
    name = 'head.classifier.weight'
    assert not torch.equal(start[name], before[name])

    optimizer = torch.optim.SGD(model.parameters(), lr=1, weight_decay=0.1)
    model.train()
    assert model.head.training and not model.backbone.training
    data = dict(
        inputs=[torch.randint(0, 255, (3, 8, 8)) for _ in range(4)],
        data_samples=[DataSample().set_gt_label(i % 3) for i in range(4)],
    )
    model.train_step(data, OptimWrapper(optimizer))
    for name, value in model.state_dict().items():
        is_frozen = not name.startswith('head.classifier.')
        assert torch.equal(value, start[name]) == is_frozen, name


def test_errors(first_stage, tmp_path):
    path, _ = first_stage
    with pytest.raises(ValueError, match='--cfg-options model.pretrained=F'):
        make().init_weights()
    other = make(base_channels=8, pretrained=str(path))
    with pytest.raises(ValueError, match='first.pth.* does not fit') as error:
        other.init_weights()
    assert 'stem.0.weight' in str(error.value)
    torch.save(dict(state_dict=dict(x=torch.ones(1))), tmp_path / 'no.pth')
    with pytest.raises(ValueError, match='does not fit model.backbone'):
        make(pretrained=str(tmp_path / 'no.pth')).init_weights()
    for name, content in dict(bad=b'garbage', empty=b'').items():
        (tmp_path / f'{name}.pth').write_bytes(content)
        model = make(pretrained=str(tmp_path / f'{name}.pth'))
        with pytest.raises(ValueError, match=f"{name}.pth' is "):
            model.init_weights()
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='must be a dict of weights'):
        make(pretrained=str(tmp_path / 'list.pth')).init_weights()


def test_the_first_stages_classifier_may_be_kept(first_stage, tmp_path):
    path, before = first_stage
    model = make(pretrained=str(path), keep_classifier=True)
    model.init_weights()
    for name in ('head.classifier.weight', 'head.classifier.bias'):
        assert torch.equal(model.state_dict()[name], before[name])
    other = dict(before)
    other['head.classifier.weight'] = torch.zeros(5, 16)
    torch.save(dict(state_dict=other), tmp_path / 'other.pth')
    model = make(pretrained=str(tmp_path / 'other.pth'), keep_classifier=True)
    message = r'classifier.weight has shape \(5, 16\), not \(3, 16\).*same cl'
    with pytest.raises(ValueError, match=message):
        model.init_weights()
    with pytest.raises(TypeError, match='keep_classifier must be True or Fal'):
        make(keep_classifier=1)


@pytest.mark.parametrize('track_bn', [False, True])
def test_batch_norm_of_the_backbone_may_be_tracked(first_stage, track_bn):
    path, _ = first_stage
    model = make(pretrained=str(path), track_bn=track_bn)
    model.init_weights()
    model.train()
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    (features,) = model.extract_feat(torch.randn(8, 3, 8, 8) - 2)
    assert not features.requires_grad
    for name, value in model.backbone.state_dict().items():
        moves = track_bn and 'running_' in name
        if 'num_batches' not in name:
            assert torch.equal(value, before[name]) != moves, name
    model.eval()
    assert not any(m.training for m in model.backbone.modules())
