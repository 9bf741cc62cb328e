"""config.json: what survives, and what a run folder may not name."""

import json
import logging
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from bcl_mm import config_path
from bcl_mm.engine.hooks import RunConfigHook
from bcl_mm.engine.run_config import read_run_config, write_run_config
from bcl_mm.models import BCLHead
from bcl_mm.utils.errors import InputTypeError

ODD = dict(
    shape=(1, [2, (3,)]),
    keys={1: 'a', (2, 3): 'b'},
    marked={'__tuple__': [1]},
    numbers=[math.inf, 1e-300, True, None, np.float64(0.5)],
    layer=nn.ReLU,
    words='\udcff \x1b $',
)


def test_what_json_lacks_survives(tmp_path):
    content = dict(ODD, model=dict(type=BCLHead), where=Path('a/b'))
    cfg = Config(content, ' ', 'somewhere/mine.py')
    write_run_config(cfg, tmp_path)
    found = read_run_config(tmp_path / 'config.json')
    assert {name: found.get(name) for name in ODD} == ODD
    assert type(found.shape) is tuple
    assert found.where == 'a/b'
    assert found.model.type == 'bcl_mm.models.heads.BCLHead'
    assert Path(found.filename).stem == 'mine'


def test_configs_of_this_package_survive(tmp_path):
    for name in ('bcl_resnext50_imagenet_lt', 'crt_resnet8_fashion_mnist_lt'):
        cfg = Config.fromfile(config_path(name))
        write_run_config(cfg, tmp_path)
        found = read_run_config(tmp_path / 'config.json')
        assert found.to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        (dict(type='subprocess.getoutput'), "type='subprocess.getoutput' is"),
        (dict(type='os.system'), "a.b.0.type='os.system' is not registered"),
        (dict(type='copy'), "type='copy' is not registered"),
        (dict(type='evil.Model'), "type='evil.Model' is not registered"),
        (dict(type='bcl_mm.models.heads.torch.load'), 'torch.load. is not re'),
        (
            dict(type={'__object__': 'os.system'}),
            'os.system is not registered',
        ),
        (dict(ema_type='os.system'), "ema_type='os.system' is not"),
        (dict(constructor='os.system'), 'constructor=.* is not registered'),
        (dict(collate_fn={'type': 'os.system'}), 'collate_fn.type=.os.system'),
        (dict(worker_init_fn='os.system'), 'worker_init_fn=.os.system'),
        (dict(_scope_='evil'), "_scope_ is the package 'evil'"),
        (dict(type='mmcv.cnn.rfsearch.RFSearchHook'), 'is not registered'),
        (dict(type='RFSearchHook'), 'is not registered'),  # calls eval
        (
            dict(type='torchvision/ConvertImageDtype', dtype='os.abort()'),
            'dtype=.os.abort... is not a type of numbers',
        ),
        (dict(ann_file='a.PKL'), "ann_file='a.PKL' is a file that holds code"),
        ({'__items__': [['type', 'os.system']]}, 'type=.os.system'),
    ],
)
def test_code_is_refused(tmp_path, entries, message):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(dict(a=dict(b=[entries]))))
    with pytest.raises(ValueError, match=message) as caught:
        read_run_config(path)
    assert str(caught.value).startswith(f'{path}: ')
    assert str(caught.value).endswith('pass --allow-code if you trust it')


def test_modules_to_import_need_the_option(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'my_module_of_a_run.py').write_text('done = 1')
    path = tmp_path / 'config.json'
    for imports in (
        dict(imports=['my_module_of_a_run']),
        dict(imports='my_module_of_a_run', allow_failed_imports=True),
    ):
        path.write_text(json.dumps(dict(custom_imports=imports)))
        message = 'custom_imports imports .*my_module.* pass --allow-code'
        with pytest.raises(ValueError, match=message):
            read_run_config(path)
        assert 'my_module_of_a_run' not in sys.modules
    read_run_config(path, allow_code=True)
    assert 'my_module_of_a_run' in sys.modules
    path.write_text('{"default_scope": "evil"}')
    with pytest.raises(ValueError, match="default_scope is the package 'evil"):
        read_run_config(path)


def test_registries_import_nothing_afterwards(tmp_path, monkeypatch):
    """Any string of a component may be looked up: resize_type, act, ..."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'evil.py').write_text('raise SystemExit')
    (tmp_path / 'evil_scope').mkdir()
    (tmp_path / 'evil_scope/registry.py').write_text('raise SystemExit')
    path = tmp_path / 'config.json'
    path.write_text('{}')
    read_run_config(path)
    for name in ('evil', 'evil_scope.A', 'os.system', 'torch.hub.load'):
        with pytest.raises(KeyError):
            MODELS.build(dict(type=name))
    for name in ('bcl_mm.BCLHead', 'bcl_mm.models.heads.BCLHead'):
        assert MODELS.get(name) is BCLHead
    read_run_config(path, allow_code=True)
    assert MODELS.get('collections.Counter')


@pytest.mark.parametrize(
    'text',
    [
        *('', '{', '[]', '3', 'null', '{"filename": 1}', '[' * 100_000),
        *('{"a": {"__tuple__": 3}}', '{"a": {"__number__": []}}'),
        *('{"a": {"__object__": 3}}', '{"a": {"__items__": [[[], 1]]}}'),
        *('{"_scope_": []}', '\udcff'),
    ],
)
def test_damaged_ones_are_one_sentence(tmp_path, text):
    path = tmp_path / 'config.json'
    path.write_text(text, errors='surrogateescape')
    with pytest.raises(ValueError, match=r'config.json is damaged: .+'):
        read_run_config(path)


@pytest.mark.parametrize(
    ('mark', 'content', 'rule'),
    [
        ('object', 5, 'text, got 5'),
        ('number', [], r'text, got \[\]'),
        ('tuple', 3, 'a list, got 3'),
        ('items', 'ab', "a list, got 'ab'"),
        ('items', [[1]], r'a list of pairs \[KEY, VALUE\], got \[\[1\]\]'),
    ],
)
def test_what_stands_for_other_values_is_checked(
    tmp_path, mark, content, rule
):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(dict(a={f'__{mark}__': content})))
    message = f'config.json is damaged: __{mark}__ must be {rule}$'
    for allow_code in (False, True):
        with pytest.raises(ValueError, match=message):
            read_run_config(path, allow_code)


def test_the_hook_of_trainings_and_tests(tmp_path, caplog):
    runner = SimpleNamespace(
        cfg=Config(dict(a=1)),
        work_dir=str(tmp_path),
        logger=logging.getLogger('tried'),
    )
    path = tmp_path / 'config.json'
    RunConfigHook().before_test(runner)
    assert read_run_config(path).a == 1
    runner.cfg.a = 2
    RunConfigHook().before_test(runner)  # it must not replace a training's
    assert read_run_config(path).a == 1
    RunConfigHook().before_train(runner)
    assert read_run_config(path).a == 2
    runner.cfg.b = [dict(c=lambda: 1)]
    with pytest.raises(
        InputTypeError, match='^b.0.c is <function .* not data'
    ):
        write_run_config(runner.cfg, tmp_path)
    RunConfigHook().before_train(runner)
    assert not path.exists()
    assert 'will need --allow-code' in caplog.text
