import tracemalloc

import numpy as np
import pytest

from bcl_mm.evaluation import ClassMoments, neural_collapse, simplex_figures
from tests.evaluation.common import (
    collapse_by_loops,
    regular_simplex,
    simplex_by_loops,
    skewed_images,
)

SIMPLEX_FIGURES = {
    'nc2_norms',
    'nc2_angles',
    'nc2_angles_std',
    'cosine_mean_gap',
    'cosine_std',
}


def moments_of(features, labels, num_classes, batch_size=32):
    features, labels = np.asarray(features), np.asarray(labels)
    moments = ClassMoments(num_classes, features.shape[1])
    for start in range(0, len(labels), batch_size):
        rows = slice(start, start + batch_size)
        moments.update(features[rows], labels[rows])
    return moments


def test_collapse_by_hand():
    # Class means (1, 0), (-1, 0) and (0, 3); their mean is (0, 1).
    features = [[1, 1], [1, -1], [-1, 0], [0, 2], [0, 4]]
    labels = [0, 0, 1, 2, 2]
    moments = moments_of(features, labels, 3)
    assert moments.counts.tolist() == [2, 1, 2]
    assert moments.means.tolist() == [[1, 0], [-1, 0], [0, 3]]
    # Residuals (0, 1), (0, -1), (0, 0), (0, -1), (0, 1).
    assert moments.within == pytest.approx(np.diag([0, 4 / 5]))
    # Centred means a = (1, -1), b = (-1, -1), c = (0, 2).
    # Sigma_B = diag(2, 6) / 3: Tr(Sigma_W Sigma_B^+) / 3 = (4/5 / 2) / 3.
    # Norms sqrt 2, sqrt 2 and 2.
    norms = [2**0.5, 2**0.5, 2]
    # cos(a, b) = 0, cos(a, c) = cos(b, c) = -1 / sqrt 2; the simplex's -1/2.
    root = 1 / 2**0.5
    # Not centred: cos((1, 0), (-1, 0)) = -1, the other two are 0; C = 3.
    prototypes = np.array([[1.0, 0], [-1, 0], [0, 0]])
    # Prototypes (centred already) over their norm sqrt 2, minus (a, b, c)
    # over its norm sqrt 8.
    gap = prototypes / 2**0.5 - np.array([[1, -1], [-1, -1], [0, 2]]) / 8**0.5
    assert neural_collapse(moments, prototypes) == pytest.approx(
        dict(
            nc1=2 / 15,
            nc2_norms=np.std(norms) / np.mean(norms),
            nc2_angles=(0.5 + 2 * (root - 0.5)) / 3,
            nc2_angles_std=np.std([0, -root, -root]),
            nc3=np.sqrt(np.square(gap).sum()),
            cosine_mean_gap=-1 / 3 + 1 / 2,
            cosine_std=np.std([-1, 0, 0]),
        )
    )


def test_two_classes_by_hand():
    # On a line: means 0 and 4, variance (1 + 1 + 4 + 4) / 4 = 2.5 within,
    # 4 between: 2.5 / 4 / 2.
    moments = moments_of([[-1], [1], [2], [6]], [0, 0, 1, 1], 2)
    figures = neural_collapse(moments, np.array([[-3.0], [3]]))
    assert figures == pytest.approx(
        # Two centred means are always opposite and equally long. A class
        # mean of length 0 has no cosine.
        dict(nc1=0.3125, nc2_norms=0, nc2_angles=0, nc2_angles_std=0, nc3=0)
    )
    opposite = neural_collapse(moments, np.array([[3.0], [-3]]))
    assert opposite['nc3'] == pytest.approx(2)


@pytest.mark.parametrize('num_classes', [2, 3, 5, 10, 33])
@pytest.mark.parametrize('spare', [-1, 0, 7])
def test_an_exact_simplex_gives_zeros(num_classes, spare):
    corners = regular_simplex(num_classes, num_classes + spare)
    random = np.random.RandomState(0)
    labels = random.permutation(np.arange(5 * num_classes) % num_classes)
    for shift, length in ((0, 1), (0, 30), (100, 1)):
        features = length * corners[labels] + shift
        figures = neural_collapse(
            moments_of(features, labels, num_classes), 3 * corners
        )
        assert {'nc1', 'nc3', *SIMPLEX_FIGURES} == set(figures)
        if shift:  # removed by centring; the origin moves
            for name in ('cosine_mean_gap', 'cosine_std'):
                figures.pop(name)
        assert figures == pytest.approx(dict.fromkeys(figures, 0), abs=1e-11)
    alone = simplex_figures(corners)
    assert alone == pytest.approx(dict.fromkeys(SIMPLEX_FIGURES, 0), abs=1e-12)
    # In single precision, and as lists.
    single = corners.astype(np.float32)
    alone = simplex_figures(single)
    assert alone == pytest.approx(dict.fromkeys(SIMPLEX_FIGURES, 0), abs=3e-7)
    assert simplex_figures(single.tolist()) == alone


def test_each_flaw_of_a_simplex_is_seen():
    corners = regular_simplex(5, 6)
    labels = np.arange(50) % 5
    noise = np.random.RandomState(0).randn(50, 6)

    def figures(corners, noise=0.0, partners=corners):
        return neural_collapse(
            moments_of(corners[labels] + noise, labels, 5), partners
        )

    turned = np.roll(corners, 1, axis=0)
    assert figures(corners, partners=turned)['nc3'] > 1
    assert figures(corners, partners=turned)['nc2_angles'] < 1e-12
    assert figures(corners, 0.1 * noise)['nc1'] > 1e-3
    longer = corners * np.array([[1], [1], [1], [1], [2]])
    found = figures(longer)
    assert min(found['nc2_norms'], found['nc3'], found['nc2_angles']) > 0.1
    # Only lengths differ: the cosines about the origin remain a simplex's.
    assert abs(found['cosine_mean_gap']) + found['cosine_std'] < 1e-12
    nearer = corners.copy()
    nearer[0] += 0.5 * nearer[1]
    found = figures(nearer / np.linalg.norm(nearer, axis=1)[:, None])
    assert min(found[name] for name in SIMPLEX_FIGURES) > 0.01


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('dim', [2, 4, 12])  # C > D + 1, C = 7, C < D
@pytest.mark.parametrize('tested', [None, [5, 0, 2]])
def test_against_loops(seed, dim, tested):
    features, labels = skewed_images(dim=dim, seed=seed, tested=tested)
    prototypes = np.random.RandomState(seed).randn(7, dim) + 1
    found = neural_collapse(moments_of(features, labels, 7), prototypes)
    expected = collapse_by_loops(features, labels, 7, prototypes)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert simplex_figures(prototypes) == pytest.approx(
        simplex_by_loops(list(prototypes), 7), rel=1e-9
    )


def test_blocks_of_pairs_are_all_pairs(monkeypatch):
    vectors = np.random.RandomState(0).randn(11, 3)
    expected = simplex_by_loops(list(vectors), 11)
    for entries in (1, 22, 40, 121):
        monkeypatch.setattr('bcl_mm.evaluation.moments.BLOCK', entries)
        assert simplex_figures(vectors) == pytest.approx(expected, rel=1e-10)


def test_order_batches_and_names_of_classes_change_nothing():
    features, labels = skewed_images()
    prototypes = np.random.RandomState(1).randn(7, 4)
    expected = neural_collapse(moments_of(features, labels, 7), prototypes)
    order = np.random.RandomState(2).permutation(len(labels))
    renamed = np.random.RandomState(3).permutation(7)
    moved = np.empty_like(prototypes)
    moved[renamed] = prototypes
    for batch_size in (1, 17, 200):
        moments = moments_of(
            features[order], renamed[labels[order]], 7, batch_size
        )
        found = neural_collapse(moments, moved)
        assert found == pytest.approx(expected, rel=1e-10)
    # Rotation, scale, and a common offset of prototypes or features.
    turn, _ = np.linalg.qr(np.random.RandomState(4).randn(4, 4))
    moments = moments_of(3 * features @ turn + 2, labels, 7)
    found = neural_collapse(moments, 2 * prototypes @ turn + 1)
    for name in ('nc1', 'nc2_norms', 'nc2_angles', 'nc2_angles_std', 'nc3'):
        assert found[name] == pytest.approx(expected[name], rel=1e-10)


def test_digits_survive_far_from_the_origin():
    features, labels = skewed_images()
    near = neural_collapse(moments_of(features, labels, 7))
    far = neural_collapse(moments_of(features + 1e6, labels, 7))
    assert far['nc1'] == pytest.approx(near['nc1'], rel=1e-7)
    # The means of three classes in 9 dimensions span two. No other counts,
    # whatever the rounding.
    features, labels = skewed_images(dim=9, tested=[1, 2, 3])
    near = neural_collapse(moments_of(features, labels, 7))
    far = neural_collapse(moments_of(features + 1e6, labels, 7))
    assert far['nc1'] == pytest.approx(near['nc1'], rel=1e-6)


def test_class_means_on_a_line_span_one_direction():
    # In five dimensions; scatter across the line does not count.
    labels = np.repeat([0, 1, 2, 3], 2)
    along = np.array([3.0, 7, 5, 9, 0, 2, -4, -4])
    features = along[:, None] * np.array([0.1, 0.2, 0.3, 0.4, 0.5]) + 0.7
    across = np.array([1.0, -1, 1, -1, 1, -1, 0, 0])[:, None]
    features = features + across * np.array([5, 0, 0, 0, -1])
    # Along: residuals 2, 2, 1, 0 (each twice), means 5, 7, 1 and -4.
    between = np.var([5, 7, 1, -4])
    figures = neural_collapse(moments_of(features, labels, 4))
    assert figures['nc1'] == pytest.approx((4 + 4 + 1) / 4 / between / 4)


def test_what_is_not_defined_is_left_out():
    one = moments_of([[1.0, 2], [3, 4]], [1, 1], 3)
    assert neural_collapse(one, np.eye(3, 2)) == {}
    assert neural_collapse(ClassMoments(3, 2)) == {}
    # No scatter between the classes, though 0.1 + 0.2 is not 0.3.
    values = [[0.1], [0.2], [0.3], [0.1], [0.3], [0.2]]
    same = moments_of(values, [0, 0, 0, 1, 1, 1], 2)
    figures = neural_collapse(same, np.array([[1.0], [2]]))
    assert set(figures) == {'cosine_mean_gap', 'cosine_std'}
    # The middle one of three points on a line has no direction.
    figures = simplex_figures(np.array([[1.0, 1], [2, 2], [3, 3]]))
    assert set(figures) == {'nc2_norms', 'cosine_mean_gap', 'cosine_std'}
    assert simplex_figures(np.zeros((3, 2))) == {}
    # Identical prototypes.
    figures = neural_collapse(
        moments_of([[0.0], [1]], [0, 1], 2), np.full((2, 1), 0.3)
    )
    assert 'nc3' not in figures
    assert figures['nc1'] == 0


def test_errors():
    moments = ClassMoments(3, 2)
    with pytest.raises(ValueError, match=r'width\) = \(1, 2\), got \(1, 3\)'):
        moments.update(np.zeros((1, 3)), [0])
    with pytest.raises(ValueError, match=r'\[0, 3\), got 3 at sample 0'):
        moments.update(np.zeros((1, 2)), [3])
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match='finite, .* of class 2 are not'):
            moments.update([[0, 1], [0, wrong]], [1, 2])
    assert not moments.counts.any()
    message = r'prototypes must be .* = \(3, 2\), got \(2, 2\)'
    with pytest.raises(ValueError, match=message):
        neural_collapse(moments, np.eye(2))


def test_memory_does_not_grow_with_pairs_of_classes():
    num_classes, dim = 8142, 128
    random = np.random.RandomState(0)
    vectors = random.randn(num_classes, dim)
    tracemalloc.start()
    moments = moments_of(vectors, np.arange(num_classes), num_classes, 512)
    figures = neural_collapse(moments, vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert figures['nc1'] == pytest.approx(0, abs=1e-20)
    assert figures['cosine_mean_gap'] == pytest.approx(0, abs=1e-3)
    # A dozen (C, D) arrays and the blocks; C * C numbers take 530 MB.
    assert peak < 12 * 8 * num_classes * dim + 40e6
