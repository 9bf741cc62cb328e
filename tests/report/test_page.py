"""The report of real runs, and its page in a browser."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bcl_mm.report import page
from bcl_mm.report.summary import Method
from bcl_mm.report.thumbnails import address_of
from tests.cli.common import BCL, CE, SHORT
from tests.conftest import ROOT
from tests.report.common import evaluation, trained_run

TOOL = ROOT / 'tools' / 'report.py'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


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
    assert text.count('<code>ce_resnet8_digits_lt</code>') == 2
    # The figures of compare.py, and nothing from elsewhere.
    for row in (work_dir / 'results.csv').read_text().splitlines()[1:]:
        _, _, _, top1, spread = row.split(',')[:5]
        assert f'{float(top1):.1f} ± {float(spread):.1f}' in text
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)
    assert '://' not in re.sub(r'data:image/\w+;base64,[^"]*', '', text)
    figures = list((work_dir / 'report_figures').iterdir())
    assert {path.stem for path in figures} == set(page.DRAWINGS)
    assert {path.suffix for path in figures} == {'.png'}
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

    assert "folder 'nowhere' does not exist" in fails('nowhere')
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
