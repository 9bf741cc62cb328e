import shutil
import sys
import zipfile

from tests.conftest import ROOT


def test_configs_travel_in_the_wheel(run, tmp_path):
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
    roots = {name.split('/')[0].split('-')[0] for name in names}
    assert roots == {'bcl_mm'}
    code = (
        'import bcl_mm, mmengine\n'
        "path = bcl_mm.config_path('bcl_resnext50_imagenet_lt')\n"
        'print(path, mmengine.Config.fromfile(path).model.head.type)'
    )
    done = run(
        sys.executable,
        '-c',
        code,
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path / 'site'),
    )
    expected = tmp_path / 'site/bcl_mm/configs/bcl_resnext50_imagenet_lt.py'
    assert f'{expected} bcl_mm.BCLHead' in done.stdout


def test_missing_mmcv_is_one_sentence(run):
    code = (
        'import sys\n'
        "sys.modules['mmcv'] = None\n"
        'try:\n    import bcl_mm.registry\n'
        'except ImportError as error:\n    print(error)'
    )
    done = run(sys.executable, '-c', code)
    assert done.stdout.startswith('bcl_mm needs mmcv: install mmcv-lite')
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
