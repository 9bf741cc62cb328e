"""The report of real runs, and its page in a browser."""

import base64
import csv
import datetime
import html
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from bcl_mm.report import page
from bcl_mm.report.summary import Method
from tests.conftest import ROOT
from tests.report.common import evaluation, trained_run

TOOL = ROOT / 'tools' / 'report.py'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


def test_page_of_real_runs(compared, run_warm, tmp_path):
    work_dir, said = compared / 'runs', (compared / 'output').read_text()
    assert said.count('testing epoch_2.pth') == 4
    assert f'Report: {work_dir}/report.html' in said
    text = (work_dir / 'report.html').read_text()
    assert text.count('<code>ce_resnet8_digits_lt</code>') == 2
    # The figures of compare.py, and nothing from elsewhere.
    with (work_dir / 'results.csv').open() as file:
        for row in csv.DictReader(file):
            mean, spread = float(row['top1_mean']), float(row['top1_std'])
            assert f'{mean:.1f} ± {spread:.1f}' in text
            assert float(row['seconds_per_epoch']) > 0
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)
    words = re.sub(r'data:\w+/\w+;base64,[^"]*', '', text)
    assert '://' not in words
    # Nothing of this machine.
    for folder in (ROOT, work_dir, tmp_path.parent):
        assert str(folder) not in words
    today = datetime.date.today().isoformat()
    assert f'<h1>Digits-LT: 2 methods compared, {today}</h1>' in words
    # The verdict comes first, is said in the terminal, and has its cost.
    (headline,) = re.findall(r'<p class="headline">(.*)</p>', words)
    assert html.unescape(headline) in said
    assert 'cross-entropy' in headline and 'BCL' in headline
    assert re.search(r'training, [CG]PU time</th>', words)
    assert words.index('class="headline"') < words.index('id="results"')
    assert 'Validation and test set are the same' not in words
    assert 'The few-shot figure rests on 250 test images of 5 classes' in words
    files = {path.name for path in (work_dir / 'report_files').iterdir()}
    assert {f'{name}.png' for name in page.DRAWINGS} <= files
    assert {'verdict.png', 'gains.png', 'classes.csv'} <= files
    for name in ('bcl', 'cross_entropy'):
        assert f'confusion_{name}.csv' in files
        assert f'confusion_{name}.png' in files
        assert f'predictions_{name}.png' in files
    for path in (work_dir / 'report_files').glob('*.png'):
        with Image.open(path) as png:
            assert min(png.size) > 300
    cards = list(work_dir.glob('*/*/model_card.md'))
    assert len(cards) == 4
    for card in cards:
        assert '| optimizer, lr | 0\\.1 |' in card.read_text()
        assert str(work_dir) not in card.read_text()
    # The link of the page is the file.
    link = re.search(r'href="data:text/csv;base64,([^"]*)"', text)[1]
    content = (work_dir / 'report_files' / 'classes.csv').read_bytes()
    assert base64.b64decode(link) == content
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert [row['training images'] for row in rows[:2]] == ['2', '3']
    # What has been tested is not tested again; one run is a page, too.
    trained = next((work_dir / 'ce_resnet8_digits_lt').iterdir())
    single = shutil.copytree(trained, tmp_path / 'one')
    out = tmp_path / 'sub' / 'one.html'
    done = run_warm(sys.executable, TOOL, single, '-o', out)
    assert 'testing' not in done.stdout
    assert 'no second finished method to compare it with' in done.stdout
    text = out.read_text()
    assert 'id="groups"' in text
    assert 'Unfinished' not in done.stdout + text
    assert 'id="gains"' not in text and 'verdict' not in page.DRAWINGS


def methods_of(number, num_classes, seeds=1, unfinished=()):
    """Methods on random predictions, with hostile class names."""
    random = np.random.RandomState(0)
    falling = 1000 * 0.002 ** np.linspace(0, 1, num_classes)
    counts = np.maximum(falling, 2).astype(int)
    labels = np.repeat(np.arange(num_classes), 3)
    classes = [f'<b>Genus & species {i}</b>' for i in range(num_classes)]
    names = 'cross-entropy', '</script><b>BCL</b>', 'LA', 'x' * 60, 'e', 'f'
    methods = []
    for name in names[:number]:
        runs = [trained_run(name, seed) for seed in range(seeds)]
        evaluations = []
        for run in runs:
            run.progress = 'epoch 1 of 3' if name in unfinished else ''
            guesses = random.randint(num_classes, size=len(labels))
            right = random.rand(len(labels)) < 0.6
            guesses = np.where(right, labels, guesses)
            evaluations.append(
                evaluation(guesses, labels, counts, classes=classes)
            )
        methods.append(Method(name, runs, evaluations))
    return methods


def test_unfinished_trainings_stand_apart(tmp_path):
    path = tmp_path / 'a.html'
    methods = methods_of(3, 12, seeds=2, unfinished=('LA',))
    page.write_page(methods, path, picture)
    text = path.read_text()
    assert 'Unfinished trainings' in text
    results = text[text.index('id="results"') :].partition('Unfinished')
    assert 'LA</td>' not in results[0]
    assert '<td>LA</td>' in results[2]
    assert 'LA' not in re.search('class="headline">(.*)<', text)[1]
    assert not (tmp_path / 'a_files' / 'confusion_la.csv').exists()
    # Alone, they are what there is to see.
    methods = methods_of(1, 12, unfinished=('cross-entropy',))
    page.write_page(methods, path, picture)
    text = path.read_text()
    assert 'No verdict: no training is finished.' in text
    assert 'Unfinished trainings' not in text
    assert 'id="groups"' in text


def test_wrong_places(run_warm, tmp_path):
    def fails(*words):
        return run_warm(sys.executable, TOOL, *words, ok=False).stdout

    assert "folder 'nowhere' does not exist" in fails('nowhere')
    assert 'holds no run' in fails(tmp_path)
    assert '--out must end in .html' in fails(tmp_path, '-o', 'a.pdf')


def picture(index):
    """One picture for all images."""
    return Image.new('L', (8, 6))


@pytest.fixture(scope='module')
def large_page(tmp_path_factory):
    """A page of two methods and as many classes as iNaturalist 2018."""
    path = tmp_path_factory.mktemp('large') / 'report.html'
    page.write_page(methods_of(2, 8142), path, picture)
    assert path.stat().st_size < 8e6
    return path


@pytest.fixture(scope='module')
def many_page(tmp_path_factory):
    """A page of six methods and 120 classes."""
    path = tmp_path_factory.mktemp('many') / 'report.html'
    page.write_page(methods_of(6, 120, seeds=2), path, picture)
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
@pytest.mark.parametrize('which', ['digits', 'many', 'large'])
def test_in_a_browser(browser, request, which, width, scheme):
    if which != 'digits':
        path = request.getfixturevalue(f'{which}_page')
        num_classes = dict(many=120, large=8142)[which]
    else:
        path = request.getfixturevalue('compared') / 'runs' / 'report.html'
        num_classes = 10
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
    # Two methods have their difference in the verdict.
    assert tab.locator('#differences').count() == (which == 'many')
    # What stands folded, does so.
    assert tab.locator('details[open]').count() == 0
    assert not tab.locator('#cosines').is_visible()
    # Tables that scroll say so; nothing of the page stands out.
    hidden = tab.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(box => "
        'box.scrollWidth > box.clientWidth + 1 && '
        'getComputedStyle(box.previousElementSibling).display === "none"'
        ').length'
    )
    assert hidden == 0
    if width == 375:
        assert tab.locator('#table .hint').is_visible()
    head = tab.locator('#heads th').first
    assert head.evaluate('cell => getComputedStyle(cell).position') == 'sticky'
    # The dot of a method is beside the first line of its name.
    gaps = tab.locator('#heads .dot').evaluate_all(
        'all => all.map(dot => dot.getBoundingClientRect().top - '
        'dot.nextSibling.getBoundingClientRect().top)'
    )
    assert gaps and all(0 <= gap < 15 for gap in gaps)
    tab.evaluate(
        "document.querySelectorAll('details').forEach("
        'part => { part.open = true; })'
    )
    assert tab.evaluate('document.documentElement.scrollWidth') == width
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
    assert min(shown for _, shown in figures) >= 340
    rows = tab.locator('#rows tr')
    assert rows.count() == min(num_classes, 100)
    # The rarest class first; names are text, whatever is in them.
    assert tab.locator('#rows b, #heads b, h3 b, td b').count() == 0
    first = rows.first.locator('td').all_inner_texts()
    name = '9' if which == 'digits' else f'Genus & species {num_classes - 1}'
    tab.fill('#search', name)
    assert rows.count() == 1
    assert rows.first.locator('td').first.inner_text().strip('</b>') == name
    tab.fill('#search', '')
    tab.locator('#heads button').nth(1).click()
    tab.locator('#heads button').nth(1).click()
    largest = int(
        rows.first.locator('td').nth(1).inner_text().replace(',', '')
    )
    assert largest > int(first[1])
    context.close()


def test_on_paper(browser, many_page):
    """Everything is open, light, and nothing sticks."""
    context = browser.new_context(color_scheme='dark')
    tab = context.new_page()
    tab.goto(many_page.as_uri())
    tab.emulate_media(media='print', color_scheme='dark')
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator('details:not([open])').count() == 0
    assert tab.locator('#cosines img').is_visible()
    paper = tab.evaluate('getComputedStyle(document.body).backgroundColor')
    assert paper == 'rgb(255, 255, 255)'
    sources = tab.locator('figure img').evaluate_all(
        'all => all.map(i => i.currentSrc === i.src)'
    )
    assert all(sources)
    head = tab.locator('#heads th').first
    assert head.evaluate('cell => getComputedStyle(cell).position') == 'static'
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator('details[open]').count() == 0
    context.close()
