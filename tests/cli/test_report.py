"""report.py: its figures against small cases, and the page in a browser."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bcl_mm.apis import runs as found
from bcl_mm.report import errors, page, summary
from bcl_mm.report.evaluation import (  # noqa: E402
    Evaluation,
    block_cosines,
    choose_shown,
)
from bcl_mm.report.figures import smooth  # noqa: E402
from bcl_mm.report.summary import Method  # noqa: E402
from bcl_mm.report.thumbnails import address_of  # noqa: E402
from tests.cli.common import BCL, CE, SHORT
from tests.conftest import ROOT

TOOL = ROOT / 'tools' / 'report.py'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
# Of 4 classes (many, medium, few, few) with 4 test images each.
COUNTS = np.array([200, 50, 5, 4])
LABELS = np.repeat(np.arange(4), 4)
PREDICTIONS = np.array([0, 0, 0, 0, 1, 1, 1, 0, 2, 0, 0, 0, 3, 3, 2, 1])


def evaluation(
    predictions=PREDICTIONS, labels=LABELS, counts=COUNTS, **kwargs
):
    random = np.random.RandomState(0)
    num_classes = len(counts)
    shown = choose_shown(labels, counts)
    means = random.normal(size=(num_classes, 8))
    figures = dict(features_nc1=0.5, projected_nc3=0.25)
    values = dict(
        confidences=np.linspace(0.1, 0.9, len(labels)),
        classes=[f'class {i}' for i in range(num_classes)],
        geometry={f'geometry/{k}': v for k, v in figures.items()},
        cosines=dict(
            features=block_cosines(means, np.argsort(-counts, kind='stable'))
        ),
        shown=shown,
        places=random.normal(size=(len(shown), 2)),
    )
    return Evaluation(
        labels=labels,
        predictions=predictions,
        class_counts=counts,
        **{**values, **kwargs},
    )


def trained_run(name='cross-entropy', seed=0, **settings):
    cfg = Config(
        dict(method_name=name, randomness=dict(seed=seed), **settings)
    )
    return found.TrainedRun(
        Path(f'{name}_{seed}'), Path('a_b.py'), Path('epoch_1.pth'), cfg
    )


def one_method(*predictions):
    runs = [trained_run(seed=i) for i in range(len(predictions))]
    return Method('cross-entropy', runs, [evaluation(p) for p in predictions])


def test_confusions_by_hand():
    # 3 of the 4 images of class 2 are taken for 0; of class 3 one each for
    # 2 and 1. The surest come first.
    confusions = errors.confusions(one_method(PREDICTIONS))
    assert confusions[0] == dict(
        true=2, predicted=0, times=3, of=4, images=[11, 10, 9]
    )
    assert [(c['true'], c['times']) for c in confusions[1:]] == [
        (3, 1),
        (3, 1),
    ]


def test_confusions_over_seeds():
    # The second seed makes no mistake.
    confusions = errors.confusions(one_method(PREDICTIONS, LABELS))
    assert (confusions[0]['times'], confusions[0]['of']) == (3, 8)


def test_where_images_end_by_hand():
    shares = errors.taken_for(one_method(PREDICTIONS))
    assert shares == dict(
        many=dict(right=100, many=0, medium=0, few=0),
        medium=dict(right=75, many=25, medium=0, few=0),
        # Of 8 images 3 are right, 3 taken for class 0, 1 each for 1 and 2.
        few=dict(right=37.5, many=37.5, medium=12.5, few=12.5),
    )


def test_class_accuracies_are_means_over_seeds():
    method = one_method(PREDICTIONS, LABELS)
    assert method.class_accuracies.tolist() == [100, 87.5, 62.5, 75]


def test_tail_without_few_shot_classes_is_the_rarest_third():
    tested = np.ones(6, dtype=bool)
    tail = errors.tail_classes(np.array([50, 90, 70, 60, 40, 80]), tested)
    assert np.flatnonzero(tail).tolist() == [0, 4]


def test_best_figures_are_marked():
    methods = [one_method(PREDICTIONS), one_method(LABELS)]
    heads, rows = summary.results_table(methods)
    assert rows[0][heads.index('top-1')] == ('62.5', False)
    assert rows[1][heads.index('top-1')] == ('100.0', True)
    # Both have all of the many-shot images: neither is better.
    assert rows[0][heads.index('many-shot')] == ('100.0', False)


def test_block_cosines_by_loops():
    random = np.random.RandomState(0)
    means = random.normal(size=(7, 3))
    order = random.permutation(7)[:6]
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(
        block_cosines(means, order, 10), unit[order] @ unit[order].T, atol=1e-6
    )
    blocks = np.array_split(order, 3)
    for a, row in enumerate(block_cosines(means, order, 3)):
        for b, value in enumerate(row):
            pairs = [
                unit[i] @ unit[j]
                for i in blocks[a]
                for j in blocks[b]
                if i != j
            ]
            assert value == pytest.approx(np.mean(pairs), abs=1e-6)


def test_smoothing_keeps_a_constant_and_a_single_class():
    x = np.array([0.0, 1.0, 5.0])
    np.testing.assert_allclose(smooth(x, np.full(3, 7.0), x), 7)
    assert smooth(x[:1], np.array([3.0]), x[:1]) == 3


def test_runs_become_methods():
    runs = [trained_run(), trained_run(seed=1), trained_run('BCL')]
    methods = summary.group_runs(runs, [evaluation()] * 3)
    assert [(m.name, len(m.runs)) for m in methods] == [
        ('cross-entropy', 2),
        ('BCL', 1),
    ]
    # Another setting is another method, and is told apart.
    runs = [trained_run(), trained_run(seed=1, batch_size=3)]
    methods = summary.group_runs(runs, [evaluation()] * 2)
    assert [m.name for m in methods] == [
        'cross-entropy (batch_size=)',
        'cross-entropy (batch_size=3)',
    ]


def test_unfinished_runs_are_no_second_seed():
    runs = [trained_run(), trained_run(seed=1)]
    runs[1].stand = 'epoch 2 of 3'
    methods = summary.group_runs(runs, [evaluation()] * 2)
    assert [m.name for m in methods] == [
        'cross-entropy',
        'cross-entropy, epoch 2 of 3',
    ]


def test_runs_on_other_data_are_refused():
    runs = [trained_run(), trained_run('BCL')]
    other = evaluation(counts=COUNTS + 1)
    with pytest.raises(ValueError, match='training images per class of BCL_0'):
        summary.group_runs(runs, [evaluation(), other])
    other = evaluation(labels=LABELS[::-1].copy())
    with pytest.raises(ValueError, match='test images of BCL_0 are not those'):
        summary.group_runs(runs, [evaluation(), other])


def test_what_is_kept_is_read_again(tmp_path):
    path = tmp_path / 'evaluation.npz'
    assert Evaluation.load(path, 'key') is None
    ours = evaluation()
    ours.save(path, 'key')
    theirs = Evaluation.load(path, 'key')
    assert theirs.classes == ours.classes
    assert theirs.geometry == ours.geometry
    for name in ('labels', 'predictions', 'class_counts', 'shown', 'places'):
        assert np.array_equal(getattr(theirs, name), getattr(ours, name))
    assert np.array_equal(theirs.cosines['features'], ours.cosines['features'])
    assert Evaluation.load(path, 'another key') is None
    path.write_bytes(path.read_bytes()[:500])
    assert Evaluation.load(path, 'key') is None


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """Work dir of two methods with two seeds; what compare.py said."""
    work_dir = tmp_path_factory.mktemp('runs')
    command = [sys.executable, ROOT / 'tools' / 'compare.py', CE, BCL]
    command += ['--seeds', '0', '1', '--work-dir', work_dir, '--report']
    done = subprocess.run(
        [*command, '--cfg-options', *SHORT],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return work_dir, done.stdout


def test_page_of_real_runs(digits, run, tmp_path):
    work_dir, said = digits
    assert said.count('testing epoch_2.pth') == 4
    assert f'Report: {work_dir}/report.html' in said
    text = (work_dir / 'report.html').read_text()
    # The figures of compare.py, and nothing from elsewhere.
    for row in (work_dir / 'results.csv').read_text().splitlines()[1:]:
        _, _, _, top1, spread = row.split(',')[:5]
        assert f'{float(top1):.1f} ± {float(spread):.1f}' in text
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)
    assert '://' not in re.sub(r'data:image/\w+;base64,[^"]*', '', text)
    figures = list((work_dir / 'report_figures').iterdir())
    names = {drawing.name for drawing in page.DRAWINGS}
    assert {path.name for path in figures} == {f'{n}.png' for n in names}
    for path in figures:
        with Image.open(path) as png:
            assert min(png.size) > 300
    # What has been tested is not tested again; one run is a page, too.
    single = next((work_dir / 'ce_resnet8_digits_lt').iterdir())
    out = tmp_path / 'sub' / 'one.html'
    done = run(sys.executable, TOOL, single, '-o', out)
    assert 'testing' not in done.stdout
    assert 'id="groups"' in out.read_text()
    assert 'Unfinished' not in done.stdout
    assert 'id="gains"' not in out.read_text()


def test_wrong_places(run, tmp_path):
    def fails(*words):
        return run(sys.executable, TOOL, *words, ok=False).stdout

    assert "there is no folder 'nowhere'" in fails('nowhere')
    assert 'holds no run' in fails(tmp_path)
    assert '--out must end in .html' in fails(tmp_path, '-o', 'a.pdf')


def picture(index):
    """One picture for all images."""
    return address_of(Image.new('L', (8, 6)))


@pytest.fixture(scope='module')
def large_page(tmp_path_factory):
    """A page of two methods and as many classes as iNaturalist 2018."""
    random = np.random.RandomState(0)
    counts = np.maximum(1000 * 0.999 ** np.arange(8142), 2).astype(int)
    labels = np.repeat(np.arange(8142), 3)
    classes = [f'<b>Genus & species {i}</b>' for i in range(8142)]
    methods = []
    for name in ('cross-entropy', 'BCL'):
        guesses = random.randint(8142, size=len(labels))
        right = random.rand(len(labels)) < 0.6
        one = evaluation(
            np.where(right, labels, guesses), labels, counts, classes=classes
        )
        methods.append(Method(name, [trained_run(name)], [one]))
    path = tmp_path_factory.mktemp('large') / 'report.html'
    page.write_page(methods, path, picture)
    return path


@pytest.fixture(scope='module')
def browser():
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip('Chromium is not installed')
    sync_api = pytest.importorskip('playwright.sync_api')
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=['--no-sandbox']
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize('width, scheme', [(1280, 'light'), (375, 'dark')])
@pytest.mark.parametrize('which', ['digits', 'large'])
def test_in_a_browser(browser, request, which, width, scheme):
    if which == 'large':
        path, num_classes = request.getfixturevalue('large_page'), 8142
    else:
        work_dir, _ = request.getfixturevalue('digits')
        path, num_classes = work_dir / 'report.html', 10
    context = browser.new_context(
        viewport=dict(width=width, height=900), color_scheme=scheme
    )
    tab = context.new_page()
    complaints, requests = [], []
    tab.on('pageerror', lambda error: complaints.append(str(error)))
    tab.on(
        'console', lambda m: m.type == 'error' and complaints.append(m.text)
    )
    tab.on('request', lambda request: requests.append(request.url))
    tab.goto(path.as_uri())
    assert complaints == []
    assert not [
        url for url in requests if not url.startswith(('file', 'data'))
    ]
    # Wide tables scroll in themselves, not the page.
    assert tab.evaluate('document.documentElement.scrollWidth') == width
    paper = tab.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, re.findall(r'\d+', paper))) > 600) == (
        scheme == 'light'
    )
    images = tab.evaluate(
        '[...document.images].map(i => [i.naturalWidth, i.clientWidth, '
        'i.alt, i.currentSrc.length])'
    )
    assert images and all(all(entry) for entry in images)
    figures = tab.locator('figure img').evaluate_all(
        'all => all.map(i => [i.currentSrc === i.src, i.clientWidth])'
    )
    # The dark figure in the dark; each as wide as its text needs.
    assert {is_light for is_light, _ in figures} == {scheme == 'light'}
    assert min(shown for _, shown in figures) > 320
    rows = tab.locator('#rows tr')
    assert rows.count() == min(num_classes, 100)
    # The rarest class first; names are text, whatever is in them.
    assert tab.locator('#rows b').count() == 0
    first = rows.first.locator('td').all_inner_texts()
    name = 'Genus & species 8141' if which == 'large' else '9'
    tab.fill('#search', name)
    assert rows.count() == 1
    assert rows.first.locator('td').first.inner_text().strip('</b>') == name
    tab.fill('#search', '')
    tab.locator('#heads button').nth(1).click()
    tab.locator('#heads button').nth(1).click()
    largest = int(rows.first.locator('td').nth(1).inner_text())
    assert largest > int(first[1])
    context.close()
