"""Neural collapse as loops over its equations, and test data for it."""

import numpy as np


def regular_simplex(num_classes, dim, seed=0):
    """(C, D) unit corners of a randomly rotated regular simplex.

    Corner by corner: its unit norm determines coordinate k of corner k, and
    the cosine -1 / (C - 1) determines that of all later corners.
    """
    corners = np.zeros((num_classes, dim))
    for k in range(num_classes - 1):
        corners[k, k] = np.sqrt(1 - np.square(corners[k, :k]).sum())
        for later in range(k + 1, num_classes):
            dot = corners[k, :k] @ corners[later, :k]
            corners[later, k] = (-1 / (num_classes - 1) - dot) / corners[k, k]
    turn, _ = np.linalg.qr(np.random.RandomState(seed).randn(dim, dim))
    return corners @ turn


def skewed_images(num_images=200, num_classes=7, dim=4, seed=0, tested=None):
    """Features (N, D) far from the origin, and skewed labels (N,)."""
    random = np.random.RandomState(seed)
    labels = np.minimum(random.geometric(0.3, num_images), num_classes) - 1
    if tested is not None:
        labels = np.asarray(tested)[labels % len(tested)]
    means = random.randn(num_classes, dim) * 2 + 5
    return means[labels] + random.randn(num_images, dim), labels


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def simplex_by_loops(vectors, num_classes):
    """simplex_figures(), pair by pair."""
    centre = sum(vectors) / len(vectors)
    centred = [v - centre for v in vectors]
    norms = [np.sqrt(v @ v) for v in centred]
    pairs = [
        (i, j)
        for i in range(len(vectors))
        for j in range(len(vectors))
        if i != j
    ]
    angles = [cosine(centred[i], centred[j]) for i, j in pairs]
    target = -1 / (len(vectors) - 1)
    cosines = [cosine(vectors[i], vectors[j]) for i, j in pairs]
    return dict(
        nc2_norms=np.std(norms) / np.mean(norms),
        nc2_angles=np.mean([abs(angle - target) for angle in angles]),
        nc2_angles_std=np.std(angles),
        cosine_mean_gap=np.mean(cosines) + 1 / (num_classes - 1),
        cosine_std=np.std(cosines),
    )


def collapse_by_loops(features, labels, num_classes, prototypes=None):
    """neural_collapse(), image by image, with numpy's pseudo-inverse."""
    tested = [c for c in range(num_classes) if (labels == c).any()]
    means = {c: features[labels == c].mean(axis=0) for c in tested}
    centre = sum(means.values()) / len(tested)
    dim = features.shape[1]
    within, between = np.zeros((dim, dim)), np.zeros((dim, dim))
    for feature, label in zip(features, labels):
        residual = feature - means[label]
        within += np.outer(residual, residual) / len(labels)
    for mean in means.values():
        between += np.outer(mean - centre, mean - centre) / len(tested)
    inverse = np.linalg.pinv(between, rcond=1e-12, hermitian=True)
    figures = simplex_by_loops(list(means.values()), num_classes)
    figures['nc1'] = np.trace(within @ inverse) / len(tested)
    if prototypes is not None:
        partners = prototypes[tested] - prototypes[tested].mean(axis=0)
        centred = np.array([means[c] - centre for c in tested])
        partners = partners / np.sqrt((partners**2).sum())
        centred = centred / np.sqrt((centred**2).sum())
        figures['nc3'] = np.sqrt(((partners - centred) ** 2).sum())
    return figures
