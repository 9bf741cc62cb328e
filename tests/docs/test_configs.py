"""docs/configs.md, and the settings in other texts, name what there is."""

import inspect
import re

import pytest
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from bcl_mm import config_path, registry
from tests.conftest import ROOT

TEXT = (ROOT / 'docs' / 'configs.md').read_text()
KEYS = [
    key
    for row in re.findall(r'^\| (`\w+(?:\.\w+)*`.*?) \|', TEXT, re.M)
    for key in re.findall(r'`([\w.]+)`', row)
]
REGISTRIES = [getattr(registry, name) for name in registry.__all__]


def find_class(component_type):
    found = [r.get(component_type) for r in REGISTRIES]
    return next(c for c in found if c is not None)


# What the dicts without a type become.
UNTYPED = dict(
    train_cfg=EpochBasedTrainLoop,
    train_dataloader=DataLoader,
    optim_wrapper=OptimWrapper,
)


def find_key(cfg, key):
    """Whether a config has a key, or a component takes the argument."""
    part, parent = cfg, None
    for name in key.split('.'):
        if isinstance(part, list):
            name = int(name)
            if name >= len(part):
                return False
        elif name not in part:
            kind = UNTYPED.get(parent)
            if 'type' in part:
                kind = find_class(part.type)
            # (The keys of a dict that is an argument are not checked.)
            return kind and name in inspect.signature(kind).parameters
        part, parent = part[name], name
    return True


@pytest.fixture
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def test_keys_exist(mmpretrain_scope):
    cifar = Config.fromfile(config_path('bcl_resnet32_cifar100_lt'))
    settings = [key for key in KEYS if '.' in key or key == 'data_root']
    assert len(settings) > 20
    missing = [key for key in settings if not find_key(cifar, key)]
    assert not missing
    assert not find_key(cifar, 'model.head.conweight')
    assert not find_key(cifar, 'traincfg.max_epochs')
    assert not find_key(cifar, 'custom_hooks.0.num_sample')
    assert not find_key(cifar, 'custom_hooks.1.num_sampled')


@pytest.mark.parametrize(
    'name', ['faq', 'logging', 'multi_node', 'troubleshooting']
)
def test_settings_in_other_texts_exist(mmpretrain_scope, name):
    cifar = Config.fromfile(config_path('bcl_resnet32_cifar100_lt'))
    text = (ROOT / 'docs' / f'{name}.md').read_text()
    tops = '|'.join(cifar)
    keys = set(re.findall(rf'[`\s]((?:{tops})(?:\.\w+)+)[=`]', text))
    assert len(keys) >= 1
    missing = [key for key in keys if not find_key(cifar, key)]
    assert not missing


def test_names_of_pipelines_exist():
    text = Config.fromfile(config_path('bcl_resnet50_imagenet_lt'))
    names = [key for key in KEYS if key.endswith('_view') or '_views' in key]
    assert len(names) == 5
    assert set(names) <= set(text)


def test_its_files_are_configs(tmp_path):
    files = re.findall(
        r'^```python\n(# (\w+\.py)\n.*?)^```', TEXT, re.M | re.S
    )
    cfgs = {}
    for code, name in files:
        (tmp_path / name).write_text(code)
        cfgs[name] = Config.fromfile(tmp_path / name)
    base = Config.fromfile(config_path('bcl_resnet8_digits_lt'))
    mine = cfgs['mine.py']
    assert mine.model.head.con_weight == 0.5 != base.model.head.con_weight
    assert mine.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-3)
    dataset = cfgs['views.py'].train_dataloader.dataset.dataset
    assert dataset.pipeline[0].transforms[1][1].type == 'mmpretrain.Rotate'


def test_the_leaf_is_as_it_is_shown():
    shown = re.search(r'^```python\n(_base_ = \[.*?)^```', TEXT, re.M | re.S)
    code = '\n'.join(
        line.partition('  #')[0] for line in shown[1].splitlines()
    )
    path = ROOT / 'configs' / 'bcl_resnet8_digits_lt.py'
    assert code.strip() == path.read_text().strip()
