"""The table of a comparison, by hand."""

import pytest

from bcl_mm.apis.comparison import check_data, plan_runs
from bcl_mm.apis.comparison_table import (
    find_reference,
    markdown,
)
from bcl_mm.evaluation import difference
from tests.cli.common import (
    BCL,
    CE,
)
from tests.cli.comparisons import LA, table, table_of


def finished(work_dir, config, seeds, balanced, **note):
    """Runs with these balanced accuracies."""
    runs = plan_runs([config], seeds, [], work_dir)
    for run, value in zip(runs, balanced):
        run.folder.mkdir(parents=True)
        figures = {'accuracy/top1': 50.0, 'accuracy/balanced': value}
        run.write_note(figures=figures, **note)
    return runs


def test_differences_and_times_by_hand(tmp_path):
    seeds = 0, 1, 2
    time = dict(seconds_per_epoch=2.0, kind_of_time='cpu')
    first = finished(tmp_path, CE, seeds, (70, 71, 72), **time)
    second = finished(tmp_path, BCL, seeds, (71, 74, 74), **time)
    header, _, one, two = table(markdown(table_of(first + second)))
    # As in test_statistics.py: 2 +- 4.3027 / sqrt(3).
    assert two[header.index('above cross-entropy')] == '+2.0 [-0.5, 4.5]'
    assert (two[-2], header[-2]) == ('2', 'CPU s / epoch')
    # One seed is no basis.
    rows = table_of([first[0], second[0]])
    assert '+1.0' in markdown(rows)
    assert 'One seed is not conclusive' in markdown(rows)
    assert rows[1]['difference_low'] is None
    assert rows[1]['difference_pairs'] == 1
    rows = table_of([*first[:2], *finished(tmp_path, LA, (0, 1), (71, 72))])
    assert 'do not show how much it varies' in markdown(rows)
    # There is no class with more than 100 images, so no column for them.
    assert header[:5] == ['method', 'config', 'top-1', 'balanced', header[4]]
    assert header[4] == 'above cross-entropy'
    # One method has no rival.
    assert 'above' not in markdown(table_of(first))


def test_the_reference_and_what_does_not_differ(tmp_path):
    seeds = 0, 1, 2
    runs = [
        *finished(tmp_path, CE, seeds, (60, 61, 62.5)),
        *finished(tmp_path, LA, seeds, (70, 71, 72)),
        *finished(tmp_path, BCL, seeds, (70.5, 72, 71.9)),
    ]
    for name in ('la_resnet8_digits_lt', 'logit adjustment'):
        reference = find_reference(runs, name)
        rows = table_of(runs, reference)
        text = markdown(rows)
        header, _, ce, la, bcl = table(text)
        gaps = header.index('above logit adjustment')
        assert [la[gaps], la[gaps + 1]] == ['', '']
        assert ce[gaps].startswith('-9.8 [')
    # Two tests: Holm doubles the smaller p-value.
    own = dict(zip(seeds, (60, 61, 62.5)))
    gap = difference(own, dict(zip(seeds, (70, 71, 72))))
    assert rows[0]['p_holm'] == pytest.approx(2 * gap.p_value)
    # BCL is ahead, which may be chance.
    cells = [row[header.index('balanced')] for row in (ce, la, bcl)]
    assert [cell.startswith('**') for cell in cells] == [False, True, True]
    assert 'Bold: the best' in text
    assert find_reference(runs, None) == runs[0].config
    with pytest.raises(ValueError, match="one of the configs .*got 'x'"):
        find_reference(runs, 'x')
    # Its runs have failed: nothing is compared with another one instead.
    rows = table_of(runs[3:], runs[0].config)
    assert [row['difference_mean'] for row in rows] == [None, None]


def test_folds(tmp_path):
    def runs_of(config, values):
        options = ['+data_root=x_{fold}.csv']
        folds = list('abcde')
        runs = plan_runs([config], [0, 1], options, tmp_path, folds)
        assert len({run.folder for run in runs}) == 10
        for i, run in enumerate(runs):
            assert run.options == [f'+data_root=x_{folds[i // 2]}.csv']
            assert run.options[0] in run.command(1)
            run.folder.mkdir(parents=True)
            value = values[i // 2] + (-1, 1)[i % 2]  # around it, by the seed
            figures = {'accuracy/top1': 50.0, 'accuracy/balanced': value}
            run.write_note(figures=figures)
        return runs

    ours, theirs = (11, 12, 13, 14, 15), (10,) * 5
    rows = table_of([*runs_of(CE, theirs), *runs_of(BCL, ours)])
    gap = difference(
        dict(enumerate(ours)), dict(enumerate(theirs)), test_per_train=1 / 4
    )
    assert rows[1]['difference_low'] == pytest.approx(gap.low)
    assert rows[1]['difference_pairs'] == 5
    assert rows[1]['p_holm'] == pytest.approx(gap.p_value)
    assert 'Nadeau and Bengio' in markdown(rows)
    with pytest.raises(ValueError, match='--folds needs a setting'):
        plan_runs([CE], [0], ['+a=1'], tmp_path, ['a'])
    untrained = 'tau_norm_resnet8_fashion_mnist_lt'
    with pytest.raises(ValueError, match='leave it out with --part val'):
        plan_runs([untrained], [0], [], tmp_path, part='val')


def test_missing_data_are_told_before_the_first_training(tmp_path):
    config, options = 'ce_resnet32_custom', [f'data_root={tmp_path}/nothing']
    first, second = plan_runs([config], [0, 1], options, tmp_path)
    first.folder.mkdir(parents=True)
    first.write_note(figures={'accuracy/top1': 50.0})
    check_data([first])  # it is finished
    with pytest.raises(FileNotFoundError, match='nothing.* does not exist'):
        check_data([first, second])


def test_times_of_several_kinds(tmp_path):
    kinds = {CE: 'cpu', BCL: 'gpu', LA: None}
    runs = []
    for config, kind in kinds.items():
        note = dict(seconds_per_epoch=2.0)
        note.update(kind_of_time=kind) if kind else None
        runs += finished(tmp_path, config, (0,), (70,), **note)
    header, _, *rows = table(markdown(table_of(runs)))
    assert header[-2] == 's / epoch'
    assert [row[-2] for row in rows] == ['2 CPU', '2 GPU', '2']
