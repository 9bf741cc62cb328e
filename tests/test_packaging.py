import shutil
import sys
import zipfile

import pytest

from tests.conftest import ROOT


def test_what_travels_in_the_wheel(run, tmp_path, free_port):
    source = tmp_path / 'source'
    for folder in ('bcl_mm', 'configs'):  # building leaves files behind
        shutil.copytree(ROOT / folder, source / folder)
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    pip = sys.executable, '-m', 'pip'
    run(*pip, 'wheel', '--no-deps', '-w', tmp_path, source)
    (wheel,) = tmp_path.glob('bcl_mm-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / 'site')
    for path in (ROOT / 'configs').rglob('*.py'):
        assert f'bcl_mm/{path.relative_to(ROOT)}' in names
    for path in (ROOT / 'bcl_mm').rglob('*'):
        if path.suffix in ('.py', '.typed', '.html', '.css', '.js'):
            assert str(path.relative_to(ROOT)) in names
    with zipfile.ZipFile(wheel) as archive:
        (points,) = [n for n in names if n.endswith('/entry_points.txt')]
        script = 'bcl-mm = bcl_mm.cli.main:main'
        assert script in archive.read(points).decode()
    roots = {name.split('/')[0].split('-')[0] for name in names}
    assert roots == {'bcl_mm'}
    code = (
        'import bcl_mm, mmengine\n'
        "path = bcl_mm.config_path('bcl_resnext50_imagenet_lt')\n"
        'print(path, mmengine.Config.fromfile(path).model.head.type)'
    )
    site = dict(cwd=tmp_path, PYTHONPATH=str(tmp_path / 'site'))
    done = run(sys.executable, '-c', code, **site)
    expected = tmp_path / 'site/bcl_mm/configs/bcl_resnext50_imagenet_lt.py'
    assert f'{expected} bcl_mm.BCLHead' in done.stdout
    # The commands need no tools/, and no sources.
    options = 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0'
    words = 'launch', 2, 'train', 'ce_resnet8_digits_lt', '--work-dir', 'run'
    command = sys.executable, '-m', 'bcl_mm'
    run(*command, *words, '--cfg-options', *options, **site, PORT=free_port)
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def test_missing_mmcv_is_one_sentence(run):
    code = "import sys\nsys.modules['mmcv'] = None\n"
    for module in ('bcl_mm.registry', 'bcl_mm.apis.config'):
        code += (
            f'try:\n    import {module}\n'
            'except ImportError as error:\n    print(error)\n'
        )
    lines = run(sys.executable, '-c', code).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith('bcl_mm needs mmcv: install mmcv-lite')


@pytest.mark.parametrize('command', ['train', 'compare'])
def test_commands_say_in_one_sentence_that_mmcv_is_missing(
    run, tmp_path, command
):
    words = [command, 'ce_resnet8_digits_lt', '--work-dir', str(tmp_path)]
    code = (
        'import sys\n'
        "sys.modules['mmcv'] = None\n"
        'from bcl_mm.cli.main import main\n'
        f'main({words})'
    )
    done = run(sys.executable, '-c', code, ok=False)
    assert done.returncode == 1
    assert done.stdout.startswith('Error: bcl_mm needs mmcv: install')
    assert len(done.stdout.splitlines()) == 1


def test_import_is_quiet(run):
    done = run(sys.executable, '-c', 'from bcl_mm import *')
    assert done.stdout == ''


def test_modules_are_imported_when_they_are_named(run):
    code = (
        'import sys, bcl_mm\n'
        "print('mmpretrain.models' in sys.modules)\n"
        'from mmengine.registry import MODELS\n'
        "print(MODELS.get('bcl_mm.BCLHead') is bcl_mm.models.heads.BCLHead)\n"
        'print(all(hasattr(bcl_mm, name) for name in bcl_mm.__all__))\n'
        "print(hasattr(bcl_mm, 'lunch'))"
    )
    done = run(sys.executable, '-W', 'ignore', '-c', code)
    assert done.stdout.split() == ['False', 'True', 'True', 'False']
