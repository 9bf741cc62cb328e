"""Probabilistic contrastive learning: classes are distributions of keys."""

from __future__ import annotations

from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn

from bcl_mm.models.bessel import log_bessel_quotient
from bcl_mm.models.contrast import ViewContrast
from bcl_mm.models.losses import LogitAdjustedLoss
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.precision import product

_LARGEST_CONCENTRATION = 1e5


def concentrations(means: Tensor) -> Tensor:
    r"""Concentrations of von Mises-Fisher distributions.

    .. math::
        \kappa_c = \min\left(\frac{D R_c}{1 - R_c^2}, 10^5\right), \quad
        R_c = \lVert m_c \rVert

    The numerator of the usual estimate (Sra, 2012), :math:`D R - R^3`,
    without its second term, as in ProCo's reference.

    Args:
        means: (C, D) means of unit vectors.

    Returns:
        (C,), float64; finite for a single vector, where R is 1.
    """
    lengths = means.double().norm(dim=1)
    rest = (1 - lengths**2).clamp(min=1e-12)
    largest = _LARGEST_CONCENTRATION
    return (means.shape[1] * lengths / rest).clamp(max=largest)


def vmf_logits(
    features: Tensor, means: Tensor, temperature: float = 0.1
) -> Tensor:
    r"""Logits of classes as von Mises-Fisher distributions.

    Du et al., TPAMI 2024, Eq. 18:

    .. math::
        g_c(z) = \log A(\tilde\kappa_c) - \log A(\kappa_c), \quad
        A(x) = \frac{I_\nu(x)}{x^\nu}, \quad
        \tilde\kappa_c = \lVert \kappa_c \mu_c + z / T \rVert

    with :math:`\nu = D / 2 - 1`: the log of the mean of :math:`\exp(z \cdot
    k / T)` over infinitely many keys k of class c. Computed in float64,
    outside autocast; the (M, C, D) tensor of the definition is never built.
    No gradient reaches the means.

    Args:
        features: (M, D) unit vectors z.
        means: (C, D) mean :math:`m_c` of the unit vectors of each class:
            its direction is :math:`\mu_c`, its length gives
            :func:`concentrations`.
        temperature: T > 0. Defaults to 0.1.

    Returns:
        (M, C), float64.

    Raises:
        InputTypeError: ``temperature`` is not a number.
        InputValueError: It is not positive and finite.
    """
    check_number('temperature', temperature, above=0)
    means = means.detach()
    kappas = concentrations(means)
    order = means.shape[1] / 2 - 1
    dtype = torch.promote_types(features.dtype, torch.float32)
    directions = nn.functional.normalize(means.to(dtype), dim=1)
    cosines = product(features, directions)  # (M, C)
    # |kappa mu + z / T|^2, without a difference of large numbers.
    squares = (kappas - 1 / temperature) ** 2 + (
        2 * kappas / temperature * (1 + cosines).clamp(min=0)
    )
    return log_bessel_quotient(order, squares) - log_bessel_quotient(
        order, kappas**2
    )


@MODELS.register_module()
class ProCo(ViewContrast):
    r"""The branch of ProCo (Du et al., TPAMI 2024, Eq. 19).

    .. math::
        L = w \frac{1}{M} \sum_i L_{LA}(g(z_i), y_i)

    with :func:`vmf_logits` g of the views beside view 0, and logit-adjusted
    cross-entropy. It is the expectation of the supervised contrastive loss
    over infinitely many keys of each class; every class has some, without
    class-complement.

    Two estimates of the class means run side by side. Both take the batch
    of all processes; the loss reads the older one, which has the last epoch
    as well, and at the start of an epoch it is replaced by the younger,
    which starts anew. A batch is taken, all its views at once, before it is
    scored: an anchor is part of its own class. (The reference does so view
    by view.) A class that an epoch does not have keeps its older estimate.

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the features.
        weight: Weight w of the loss. Defaults to 1.0.
        temperature: See :func:`vmf_logits`. Defaults to 0.1.
        hidden_channels: Hidden width of the projector. Defaults to 512.
        out_channels: Output width D >= 2 of the projector. Defaults to 128.
        norm_cfg: Norm of the projector. Defaults to BatchNorm.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        In a head, with three views of four images:

        >>> from mmpretrain.structures import DataSample
        >>> from bcl_mm.models import LongTailHead
        >>> head = LongTailHead(
        ...     num_classes=3,
        ...     in_channels=16,
        ...     class_counts=[50, 20, 5],
        ...     branches=dict(proco=dict(type='bcl_mm.ProCo')),
        ... )
        >>> samples = [DataSample().set_gt_label(y) for y in (0, 0, 0, 1)]
        >>> list(head.loss((torch.rand(12, 16),), samples))
        ['loss_cls', 'loss_proco']
        >>> head.branches['proco'].counts[1]  # views of the epoch so far
        tensor([6., 2., 0.])
    """

    means: Tensor
    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        weight: float = 1.0,
        temperature: float = 0.1,
        hidden_channels: int = 512,
        out_channels: int = 128,
        norm_cfg: Optional[dict] = dict(type='BN1d'),
    ) -> None:
        check_number('temperature', temperature, above=0)
        check_number('out_channels', out_channels, at_least=2, whole=True)
        super().__init__(
            in_channels, weight, hidden_channels, out_channels, norm_cfg
        )
        self.temperature = temperature
        self.loss = LogitAdjustedLoss()
        # Row 0 is the older estimate. A generator of its own: the weights of
        # the model do not depend on the branch.
        means = torch.zeros(2, num_classes, out_channels)
        random = torch.randn(means[0].shape, generator=torch.Generator())
        means[0] = 0.9 * nn.functional.normalize(random, dim=1)
        self.register_buffer('means', means)
        self.register_buffer('counts', torch.zeros(2, num_classes))

    def start_epoch(self, epoch: int) -> None:
        """Replace the older estimate by the younger, which starts anew."""
        is_seen = self.counts[1] > 0
        for estimates in (self.means, self.counts):
            mask = is_seen.view(-1, *[1] * (estimates.ndim - 2))
            estimates[0] = torch.where(mask, estimates[1], estimates[0])
        self.counts[1] = 0

    @torch.no_grad()
    def update(self, rows: Tensor, labels: Tensor) -> None:
        """Take the projections (N, D) and labels (N,) of all processes."""
        # No sums by index: on a GPU their order, hence their rounding,
        # differs from run to run and between the processes.
        same = (labels[:, None] == labels).to(rows)  # (N, N)
        known = self.counts[:, labels, None]  # (2, N, 1)
        total = known + same.sum(1, keepdim=True)
        sums = known * self.means[:, labels] + product(same, rows.T)
        self.means[:, labels] = sums / total
        self.counts[:, labels] = total.squeeze(2)

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        targets: Tensor,
        head: nn.Module,
        **extra: Any,
    ) -> Dict[str, Tensor]:
        """Loss of the contrastive views.

        Args:
            features: (V, B, in_channels) of V >= 3 views.
            labels: (B,) integer labels.
            targets: Not used.
            head: Not used.
            **extra: Not used.

        Returns:
            ``loss``.

        Raises:
            InputValueError: There are fewer than two contrastive views.
        """
        anchors = self.anchors(features)  # (M, D)
        labels = labels.long().repeat(len(features) - 1)  # (M,)
        if self.training:
            rows = gather(anchors.detach()).to(self.means)
            self.update(rows, gather(labels))
        logits = vmf_logits(anchors, self.means[0], self.temperature)
        return dict(loss=self.weight * self.loss(logits, labels))
