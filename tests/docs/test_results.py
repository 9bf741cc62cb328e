"""What the README says of the tables follows from the recorded runs."""

import re
import sys
from statistics import mean

from bcl_mm.evaluation import difference
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import reproduce  # noqa: E402
import tables  # noqa: E402


def figures(table, method, column='balanced', variant=''):
    """Fold or seed -> figure of a row."""
    found = {}
    for record in reproduce.recorded(table):
        is_own = record.stem.startswith(f'{method}_resnet')
        if is_own and ('3 x epochs' in record.method) == bool(variant):
            key = record.seed if record.fold is None else record.fold
            found[key] = record.figures[column]
    return found


def gap(ours, theirs, column='balanced', variant=''):
    return difference(
        figures('openclipart_lt', ours, column),
        figures('openclipart_lt', theirs, column, variant),
        test_per_train=1 / 4,
    )


def recorded(methods):
    """Those whose runs are recorded: a new method has none yet."""
    return [m for m in methods if figures('openclipart_lt', m)]


def test_every_method_has_its_folds():
    methods = recorded(tables.METHODS)
    assert len(methods) >= 35  # those of the first release
    for method in methods:
        assert len(figures('openclipart_lt', method)) == 5, method


def test_with_the_compute_of_cross_entropy():
    many, few = gap('la', 'ce', 'many'), gap('la', 'ce', 'few')
    assert many.mean < 0 < few.mean
    assert not many.is_clear and not few.is_clear
    assert abs(gap('la', 'ce').mean) < 1


def test_the_best_of_one_view():
    above = {
        method: gap(method, 'ce').mean for method in recorded(tables.ONE_VIEW)
    }
    *_, third, second, first = sorted(above, key=above.get)
    assert {first, second, third} == {'gcl', 'balpoe', 'sade'}
    readme = ' '.join((ROOT / 'README.md').read_text().split())
    assert f'(+{above[third]:.1f} to +{above[first]:.1f} points)' in readme
    _, *rows = reproduce.make_table(reproduce.recorded('openclipart_lt'))
    assert min(row['p_holm'] for row in rows) > 0.05


def test_the_first_stage_is_below_cross_entropy():
    assert gap('ce_linear', 'ce').mean < -3
    assert tables.METHODS[-5:] == tables.SECOND_STAGES


def test_with_three_times_the_compute():
    for ours in ('la_three_views', 'bcl'):
        for other in ('la', 'ce'):
            found = gap(ours, other, variant='3')
            assert found.mean < 0 and not found.is_clear, (ours, other)
    top1 = gap('bcl', 'la', 'top1', variant='3')
    assert top1.is_clear and top1.mean < 0
    assert gap('bcl', 'la_three_views').mean < 0
    for method in ('ce', 'la'):
        assert gap(method, method, variant='3').mean < 0


def test_what_the_contrast_gives():
    gaps = {
        method: gap(method, 'la_three_views')
        for method in recorded(tables.THREE_VIEWS[1:])
    }
    least, *_, most = sorted(gaps, key=lambda method: gaps[method].mean)
    assert (least, most) == ('paco', 'bcl_log_mean_exp')
    assert not any(one.is_clear for one in gaps.values())
    low, high = (f'{gaps[method].mean:+.1f}' for method in (least, most))
    page, readme = (
        ' '.join((ROOT / name).read_text(encoding='utf-8').split())
        for name in ('docs/results.md', 'README.md')
    )
    assert f'({low} to {high} points)' in readme
    plain = mean(figures('openclipart_lt', 'la_three_views').values())
    assert f'without any contrast, has {plain:.1f}.' in page
    assert f'{low} (PaCo) to {high} (BCL with log-mean-exp)' in page
    for method, claim in dict(
        bcl_no_averaging='without class-averaging it is at {} points',
        bcl_no_complement='without class-complement at {},',
        supcon='without both (supervised contrast) at {}.',
        bcl_simplex='fixed simplex of prototypes it is at {},',
        bcl_log_mean_exp='with log-mean-exp at {}.',
    ).items():
        change = gap(method, 'bcl')
        assert claim.format(f'{change.mean:+.1f}') in page, method
        assert not change.is_clear


def test_bcl_beside_logit_adjustment():
    clear = difference(figures('digits_lt', 'bcl'), figures('digits_lt', 'la'))
    assert clear.is_clear and clear.mean > 0
    unclear = gap('bcl', 'la')
    assert unclear.mean > 0 and not unclear.is_clear


def test_which_one_should_i_take():
    """The figures of docs/methods.md, and what it concludes from them."""

    def of(table, method, column='balanced', variant=''):
        return mean(figures(table, method, column, variant).values())

    clip, digits = 'openclipart_lt', 'digits_lt'
    text = (ROOT / 'docs' / 'methods.md').read_text(encoding='utf-8')
    few = [of(x, 'la', 'few') - of(x, 'ce', 'few') for x in (digits, clip)]
    for claim in (
        f'{of(clip, "la", "top1"):.1f} to {of(clip, "ce", "top1"):.1f}, '
        'within noise',
        f'few-shot +{few[0]:.1f} (Digits-LT), +{few[1]:.1f} (OpenClipart-LT,',
        f'balanced {of(clip, "la", variant="3"):.1f} with three times the '
        f'epochs, {of(clip, "la_three_views"):.1f} with three views, '
        f'{of(clip, "bcl"):.1f} with BCL (not certain)',
        f'(+{of(digits, "bcl") - of(digits, "la"):.1f})',
    ):
        assert claim in text
    sam = [gap(f'{base}_sam', base).mean for base in ('la', 'bcl')]
    assert f'(balanced {sam[0]:+.1f}, {sam[1]:+.1f})' in text
    assert not gap('la', 'ce', 'top1').is_clear
    for ours in ('la_three_views', 'bcl'):
        assert not gap(ours, 'la', variant='3').is_clear
    rows = [figures(clip, m, 'few', '3') for m in ('ce', 'la')]
    assert 15 < max(mean(row.values()) for row in rows) < 25


def test_fashion_mnist_lt():
    """The sentences about its table."""

    def exact(method, variant=''):
        return mean(
            figures('fashion_mnist_lt', method, variant=variant).values()
        )

    def of(method, variant=''):
        return round(exact(method, variant), 1)

    def recorded(methods):
        return [m for m in methods if figures('fashion_mnist_lt', m)]

    page = (ROOT / 'docs' / 'results.md').read_text(encoding='utf-8')
    text = ' '.join(page.split())
    one = {m: of(m) for m in recorded(tables.ONE_VIEW)}
    one = {m: value for m, value in one.items() if not m.endswith('sam')}
    assert max(one, key=one.get) == 'la_cmo'
    assert f'logit adjustment with CMO leads ({one["la_cmo"]})' in text
    below = {name for name, value in one.items() if value < one['ce']}
    assert below == {'class_balanced', 'focal', 'ce_linear', 'vs'}
    for method, claim in dict(
        ce='below cross-entropy ({})',
        class_balanced='class-balanced loss ({},',
        focal='focal loss ({}) and',
        ce_linear='re-training methods ({}), both as in the earlier',
        vs='vector scaling ({};',
    ).items():
        assert claim.format(one[method]) in text, method
    equal = of('la_three_views'), of('la', '3'), of('bcl')
    assert max(equal) - min(equal) <= 0.5
    claim = 'contrast ({}), three times the epochs of logit adjustment ({})'
    assert f'{claim} and BCL ({{}})'.format(*equal) in text
    others = [of(m) for m in recorded(tables.THREE_VIEWS[1:])]
    claim = f'three views have {min(others)} to {max(others)}, PaCo ('
    assert claim in text
    six = f'PaCo ({of("paco")}) and BCL with SAM ({of("bcl_sam")}) with six'
    assert six in text
    methods = (ROOT / 'docs' / 'methods.md').read_text(encoding='utf-8')
    methods = ' '.join(methods.split())
    la, bcl = (f'from {of(m)} to {of(f"{m}_sam")}' for m in ('la', 'bcl'))
    assert f'logit adjustment {la} and BCL {bcl}:' in methods
    many, few = (
        mean(figures('fashion_mnist_lt', 'vs', column).values())
        for column in ('many', 'few')
    )
    assert f'(many-shot {many:.1f}, few-shot {few:.1f})' in methods
    gains = [exact(m) - exact('ce_linear') for m in tables.SECOND_STAGES]
    assert f'gain {min(gains):.1f} to {max(gains):.1f} points' in text


def ours_of(cell):
    """The cell "ours" of a row of docs/methods.md, from the configs' cell."""
    found = {
        method: mean(figures('fashion_mnist_lt', method, 'top1').values())
        for method in re.findall('`([a-z_]+)`', cell)
        if figures('fashion_mnist_lt', method)
    }
    if len(re.findall('`', cell)) == 2:
        return ''.join(f'{value:.1f}' for value in found.values())
    return ', '.join(f'`{name}` {value:.1f}' for name, value in found.items())


def test_our_figures_of_the_methods():
    text = (ROOT / 'docs' / 'methods.md').read_text(encoding='utf-8')
    rows, header = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if 'ours' in cells or not line.startswith('|'):
            header = cells if 'ours' in cells else []
        elif header:
            rows.append((cells[0], cells[header.index('ours')]))
    rows = [row for row in rows if '`' in row[0]]  # not the rules
    assert len(rows) > 20
    for cell, ours in rows:
        assert ours == ours_of(cell), cell
    methods = {name for cell, _ in rows for name in cell.split('`')[1::2]}
    assert methods >= {*tables.METHODS} - {'ce_linear'}


def test_why_three_views_help():
    """The figures of docs/results.md, and what it concludes from them."""
    found = {}
    for record in reproduce.recorded('why_openclipart_lt'):
        row = found.setdefault(record.method, {})
        row[record.fold] = record.figures['balanced']
    one, three, bcl = (
        'logit adjustment',
        'logit adjustment, three views',
        'BCL',
    )
    all_views = f'{bcl}, classifying all views'
    page = (ROOT / 'docs' / 'results.md').read_text(encoding='utf-8')
    _, _, text = page.partition('### Why three views help')
    for ours, theirs, claim in (
        (f'{three}, reduced to one contrastive', one, '({} points)'),
        (f'{three}, all three ordinary', one, '({})'),
        (three, one, '({}, above in each fold)'),
        (bcl, one, '({}, in each fold)'),
        (f'{bcl}, contrast x 3', bcl, '({})'),
    ):
        change = difference(found[ours], found[theirs]).mean
        assert claim.format(f'{change:+.1f}') in ' '.join(text.split()), ours
    gain = difference(found[all_views], found[bcl]).mean
    assert f'it gains {gain:.1f} points' in text
    weak = found[f'{all_views}, contrast x 0.3']
    more = difference(weak, found[all_views]).mean
    assert f'weight {more:.1f} more' in ' '.join(text.split())
    assert f'{mean(weak.values()):.1f}' == f'{mean(found[three].values()):.1f}'
    for fold, value in found[one].items():
        assert found[bcl][fold] < value < found[three][fold]
