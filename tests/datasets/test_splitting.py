"""The split: whole units, near the wanted share, stable for plain images."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from bcl_mm.datasets.splitting import (
    choose_units,
    choose_val,
    join,
    number_of_val,
)

FRACTIONS = st.floats(0.01, 0.99)
IMAGES = st.lists(  # class, and two kinds of groups (0: none)
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=60,
)


def groups_of(images):
    members = defaultdict(list)
    for i, (_, *groups) in enumerate(images):
        for kind, group in enumerate(groups):
            if group:
                members[kind, group].append(i)
    return list(members.values())


def split(images, fraction, seed=0):
    units = join(len(images), groups_of(images))
    paths = [f'{label}/{i}.jpg' for i, (label, *_) in enumerate(images)]
    labels = [label for label, *_ in images]
    return units, choose_units(units, paths, labels, fraction, seed)


@given(IMAGES, FRACTIONS, st.integers(0, 5))
@settings(deadline=None)
def test_no_group_is_divided_and_no_class_loses_its_training(
    images, fraction, seed
):
    units, val = split(images, fraction, seed)
    assert sorted(i for unit in units for i in unit) == list(
        range(len(images))
    )
    for group in groups_of(images):
        assert len({i in val for i in group}) == 1
    labels = [label for label, *_ in images]
    left = {label for i, label in enumerate(labels) if i not in val}
    assert left == set(labels)
    assert split(images, fraction, seed) == (units, val)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), FRACTIONS)
@settings(deadline=None)
def test_plain_images_are_chosen_one_by_one(labels, fraction):
    paths = [f'{label}/{i}.jpg' for i, label in enumerate(labels)]
    of_class = defaultdict(list)
    for path, label in zip(paths, labels):
        of_class[label].append(path)
    wanted = set()
    for members in of_class.values():
        wanted |= choose_val(members, fraction, 0)
    units = join(len(labels), [])
    chosen = choose_units(units, paths, labels, fraction, 0)
    assert {paths[i] for i in chosen} == wanted


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=8),
    st.floats(0.1, 0.5),
)
@settings(deadline=None)
def test_groups_of_one_class_come_as_near_as_they_can(sizes, fraction):
    """Against all choices of groups, up to one image."""
    groups = [i for i, size in enumerate(sizes) for _ in range(size)]
    images = [(0, group + 1, 0) for group in groups]
    _, val = split(images, fraction)
    total = len(images)
    wanted = number_of_val(total, fraction)
    sums = {0}
    for size in sizes:
        sums |= {s + size for s in sums}
    nearest = min(abs(s - wanted) for s in sums if 0 < s < total)
    assert 0 < len(val) < total
    assert abs(len(val) - wanted) <= nearest + 1


def test_a_group_more_moves_no_other():
    images = [(i % 2, i // 4 + 1, 0) for i in range(80)]
    _, before = split(images, 0.2)
    _, after = split([*images, (0, 99, 0)], 0.2)
    assert len(before ^ after) <= 5
    assert len(before) == 16


def test_a_class_of_one_group_stays_in_training():
    images = [(0, 1, 0)] * 5 + [(1, 2, 0), (1, 3, 0)] + [(2, 0, 0)] * 10
    _, val = split(images, 0.2)
    assert Counter(images[i][0] for i in val) == {1: 1, 2: 2}


def test_many_groups_across_classes():
    images = [(i * i % 7, i * 31 % 97 + 1, 0) for i in range(1000)]
    _, val = split(images, 0.2)
    for label in {label for label, *_ in images}:
        members = {i for i, image in enumerate(images) if image[0] == label}
        assert abs(len(members & val) / len(members) - 0.2) < 0.02
