"""Which products are float32, by the setting that each of them sees.

There is no TF32 on a CPU, but there is its setting.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bcl_mm.models import paco, proco
from bcl_mm.models.layers import ClassVectors
from bcl_mm.models.losses import (
    LabelAwareSmoothingLoss,
    balanced_contrastive_loss,
)
from bcl_mm.utils import precision
from bcl_mm.utils.errors import InputValueError

LABELS = torch.tensor([0, 1, 2, 0, 0, 1, 2, 0])
EXACT = ('ieee', 'none', False)


def setting():
    return getattr(torch.backends.cuda.matmul, precision._SETTING)


class Settings(TorchDispatchMode):
    """Remembers the setting that each product sees."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name == 'exact_addmm_':  # what the operator runs
            with self:
                return precision._exact_addmm_(*args)
        if name in ('mm', 'addmm', 'addmm_', 'bmm', 'mv'):
            self.found.append(setting() in EXACT)
        return func(*args, **(kwargs or {}))


def set_legacy():
    torch.set_float32_matmul_precision('high')


def set_flag():
    torch.backends.cuda.matmul.allow_tf32 = True


def set_newest():
    if not hasattr(torch.backends.cuda.matmul, 'fp32_precision'):
        pytest.skip('since torch 2.9')
    torch.backends.cuda.matmul.fp32_precision = 'tf32'


@pytest.fixture(params=[set_legacy, set_flag, set_newest])
def lowered(request):
    request.param()
    yield setting()
    torch.set_float32_matmul_precision('highest')


def unit(rows):
    generator = torch.Generator().manual_seed(rows)
    rows = torch.randn(rows, 6, generator=generator)
    return F.normalize(rows, dim=1).requires_grad_()


def contrast(**options):
    return balanced_contrastive_loss(unit(8), LABELS, unit(3), **options)


def statistics():
    branch = proco.ProCo(3, 6, out_channels=6)
    branch.update(unit(8).detach(), LABELS)
    return proco.vmf_logits(unit(8), branch.means[0]).sum()


def smoothing():
    loss = LabelAwareSmoothingLoss(class_counts=[9, 5, 1])
    return loss(unit(8)[:, :3], LABELS)


def cosine():
    return ClassVectors(6, 3)(unit(8)).pow(2).sum()


def queue():
    branch = paco.GPaCo(3, 6, queue_size=4, out_channels=6)
    branch.prior.set_class_info(info())

    class Head:
        def logits(self, rows):
            return rows[:, :3]

    features = unit(8).unflatten(0, (2, 4))
    return branch(features, LABELS[:4], LABELS[:4], Head())['loss']


def info():
    from bcl_mm.classes import ClassInfo

    return ClassInfo([9, 5, 1])


# Own products of a loss and its gradient; those of a projector beside them.
LOSSES = {
    'contrast': (contrast, 6, 0),
    'log of means': (lambda: contrast(reduction='log_mean_exp'), 6, 0),
    'class statistics': (statistics, 3, 0),
    'smoothing': (smoothing, 1, 0),
    'cosine classifier': (cosine, 3, 0),
    'queue': (queue, 3, 6),
}


@pytest.mark.parametrize('name', LOSSES)
def test_products_of_losses_are_never_lowered(name, lowered):
    loss, number, others = LOSSES[name]
    torch.manual_seed(0)
    with Settings() as settings:
        value = loss()
        value.backward()
    assert settings.found.count(True) == number
    assert settings.found.count(False) == others
    assert setting() == lowered
    # The same result as by the usual operators.
    precision.set_precision(None)
    torch.set_float32_matmul_precision('highest')
    torch.manual_seed(0)
    with Settings() as settings:
        assert torch.allclose(loss(), value)
    assert all(settings.found)


@pytest.mark.parametrize('autocast', [True, False])
def test_a_product_is_float32_under_autocast(autocast, lowered):
    left, right = unit(8), unit(3)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        loss = contrast()
        logits = precision.product(left.bfloat16(), right)
    assert logits.dtype == loss.dtype == torch.float32
    assert torch.equal(loss, contrast())
    expected = left.bfloat16().double() @ right.double().T
    assert torch.allclose(logits.double(), expected, atol=1e-6)


@pytest.mark.long
def test_products_have_derivatives_of_all_orders(lowered):
    rows = unit(4).double().detach().requires_grad_(), unit(3).double()
    assert torch.autograd.gradcheck(precision.product, rows)
    assert torch.autograd.gradgradcheck(precision.product, rows)


def test_the_setting_comes_back_after_an_error(lowered):
    with pytest.raises(RuntimeError, match='shapes cannot'):
        precision.product(unit(8), unit(3)[:, :5])
    assert setting() == lowered


@pytest.mark.long
def test_a_compiled_loss_is_whole_and_follows_the_switch():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    options = dict(fullgraph=True, backend=backend)
    compiled = torch.compile(balanced_contrastive_loss, **options)
    inputs = unit(8), LABELS, unit(3)
    expected = balanced_contrastive_loss(*inputs)
    assert torch.equal(compiled(*inputs), expected)
    set_legacy()
    try:
        assert torch.equal(compiled(*inputs), expected)
    finally:
        torch.set_float32_matmul_precision('highest')
    assert len(graphs) == 2


@pytest.mark.long
def test_an_export_has_standard_operators(lowered):
    with precision.standard_operators():
        program = torch.export.export(
            ClassVectors(6, 3).eval(), (unit(8).detach(),), strict=False
        )
    parts = program.graph_module.modules()
    graphs = [part.graph for part in parts if hasattr(part, 'graph')]
    used = {str(node.target) for graph in graphs for node in graph.nodes}
    assert 'aten.linear.default' in used
    assert not any('bcl_mm' in name for name in used)


def test_a_cpu_has_no_switch():
    precision.set_precision('tf32')
    assert setting() in EXACT


@pytest.mark.parametrize(
    'name, is_lower', [('tf32', True), ('float32', False)]
)
def test_the_switch(name, is_lower, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    try:
        precision.set_precision(name)
        assert (setting() not in EXACT) == is_lower
        assert torch.backends.cudnn.allow_tf32 == is_lower
        precision.set_precision(None)
        assert (setting() not in EXACT) == is_lower
    finally:
        torch.set_float32_matmul_precision('highest')
        torch.backends.cudnn.allow_tf32 = True


def test_an_unknown_precision():
    with pytest.raises(InputValueError, match="'tf32' or None, got 'bf16'"):
        precision.set_precision('bf16')
