"""Whole epochs beside a bare loop, and the package's share of a step."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader

from bcl_mm import config_path
from bcl_mm.classes import ClassInfo
from bcl_mm.engine.hooks import (
    ClassComplementHook,
    FiniteLossHook,
    ProgressHook,
    SampleSeedHook,
)
from bcl_mm.utils.modules import set_class_info
from benchmarks.common import Curve, Row, Settings, Times, rows_of

# Configs, and the maximum ratio to the bare loop.
EPOCHS = {
    'bcl_resnet8_fashion_mnist_lt': 1.15,
    'ce_resnet8_fashion_mnist_lt': None,
}
QUICK_EPOCHS = {'bcl_resnet8_digits_lt': None}
MAX_SHARE = 0.01


def build_model(cfg: Config) -> ImageClassifier:
    """The model of a config."""
    preprocessor = cfg.data_preprocessor
    return MODELS.build(dict(cfg.model, data_preprocessor=preprocessor))


def bare_loop(runner: Runner) -> Callable[[], None]:
    """An epoch of a Runner's config, as a user would write it without one."""
    cfg = runner.cfg
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    of_runner = runner.train_dataloader
    names = 'batch_size num_workers persistent_workers collate_fn pin_memory'
    options = {name: getattr(of_runner, name) for name in names.split()}
    loader = DataLoader(dataset, shuffle=True, **options)
    device = next(runner.model.parameters()).device
    model = build_model(cfg).to(device)
    model.init_weights()
    set_class_info(model, ClassInfo.from_dataset(dataset))
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer

    def epoch() -> None:
        model.train()
        for batch in loader:
            data = model.data_preprocessor(batch, True)
            losses = model(**data, mode='loss')
            loss = sum(v for name, v in losses.items() if 'loss' in name)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


class EpochTimesHook(Hook):
    """Times epochs of a Runner and of the bare loop in turn."""

    priority = 'LOWEST'  # after the preparations of all hooks

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def before_train(self, runner: Runner) -> None:
        """Train all epochs, with bare ones in between."""
        ours, bare = runner.train_loop.run_epoch, bare_loop(runner)
        self.times = self.settings.time({'train.py': ours, 'bare loop': bare})


def epochs(config: str, settings: Settings) -> Times:
    """Milliseconds of epochs of train.py's Runner and of the bare loop."""
    cfg = Config.fromfile(config_path(config))
    root = cfg.get('data_root')
    if root is not None and not Path(root).exists():
        raise SystemExit(f'{root} does not exist. {cfg.data_hint}')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.log_level = 'ERROR'
    # The first epoch, which starts the workers, is the warm-up.
    cfg.train_cfg = dict(by_epoch=True, max_epochs=settings.repeats + 1)
    cfg.train_dataloader.pin_memory = torch.accelerator.is_available()
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    hook = EpochTimesHook(settings)
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = Runner.from_cfg(cfg)
        runner.register_hook(hook)
        runner.train()
    return hook.times


class ResNetStep:
    """A step of 32 images in three views, and our share of it.

    Args:
        config: A config of BCL for ImageNet-LT.
        dtype: Of the network, by autocast.
        channels_last: Memory format of network and images.
    """

    def __init__(
        self,
        settings: Settings,
        config: str = 'bcl_resnet50_imagenet_lt',
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        device, quick = settings.device, settings.quick
        self.settings = settings
        self.autocast = torch.autocast(
            device.type, dtype, enabled=dtype != torch.float32
        )
        layout = torch.contiguous_format
        if channels_last:
            layout = torch.channels_last
        self.memory_format = layout
        side, batch_size = (32, 4) if quick else (224, 32)
        cfg = Config.fromfile(config_path(config))
        if quick:
            small = dict(num_classes=20, hidden_channels=64, out_channels=32)
            cfg.model.head.update(small)
        num_classes = cfg.model.head.num_classes
        torch.manual_seed(0)
        shape = batch_size, 3, side, side
        views = torch.randint(256, (3, *shape), dtype=torch.uint8)
        self.images = list(views.to(device))
        self.labels = torch.randint(num_classes, (batch_size,)).to(device)
        self.samples = [DataSample().set_gt_label(n) for n in self.labels]
        self.model = build_model(cfg).to(device, memory_format=layout)
        self.head = self.model.head
        counts = np.arange(num_classes) + 1
        set_class_info(self.model, ClassInfo(counts))
        rows = torch.randn(3 * batch_size, 2048, device=device)
        self.features = rows.requires_grad_()
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.runner = SimpleNamespace(
            model=self.model,
            optim_wrapper=OptimWrapper(optimizer),
            train_dataloader=range(1000),
            message_hub=MessageHub.get_instance('benchmark'),
            train_loop=None,
            val_loop=None,
            **dict(iter=0, max_iters=1000, seed=0, rank=0, world_size=1),
        )
        hooks = FiniteLossHook, ClassComplementHook, ProgressHook
        self.hooks = [hook() for hook in (*hooks, SampleSeedHook)]
        self.hooks[0].before_train(self.runner)

    def ours(self) -> None:
        """Views, hooks, head and losses, forward and backward."""
        batch = dict(inputs=self.images, data_samples=self.samples)
        for hook in self.hooks:
            hook.before_train_iter(self.runner, 0, batch)
        self.model.data_preprocessor(batch, True)
        with self.autocast:
            losses = self.head.loss((self.features,), self.samples)
        loss, _ = self.model.parse_losses(losses)
        self.runner.optim_wrapper.backward(loss)

    def products(self) -> None:
        """The products alone: classifier, projectors, similarities; views."""
        self.inputs()
        batch_size, head = len(self.labels), self.head
        weight, contrast = head.classifier.weight, head.projection
        with self.autocast:
            logits = F.linear(self.features[:batch_size], weight)
            anchors = contrast.projector(self.features)[batch_size:]
            prototypes = contrast.prototype_projector(weight)
        keys = torch.cat([anchors, prototypes]).float()
        similarity = anchors.float() @ keys.T
        results = [logits, similarity]
        torch.autograd.backward(results, [r.detach() for r in results])

    def inputs(self) -> Tensor:
        """(V * B, 3, H, W) normalised views."""
        views = torch.cat(self.images).flip(1).float()
        preprocessor = self.model.data_preprocessor
        views = (views - preprocessor.mean) / preprocessor.std
        return views.contiguous(memory_format=self.memory_format)

    def backbone(self) -> None:
        """Forward and backward of the backbone."""
        with self.autocast:
            features = self.model.extract_feat(self.inputs())[0]
        features.backward(self.features.detach().to(features))

    def share(self, name: str) -> List[Row]:
        """The row of our time beyond the products that BCL requires."""
        time = self.settings.time
        backbone = time(dict(backbone=self.backbone), 3)['backbone']
        times = time(dict(ours=self.ours, products=self.products))
        whole = np.median(backbone) + np.median(times['ours'])
        overhead = np.subtract(times['ours'], times['products']).tolist()
        figures = {'ours': overhead, 'whole step': [whole] * len(overhead)}
        name = f'our share of a {name} step, 32 images x 3 views'
        return rows_of(name, figures, 'ours', {'whole step': MAX_SHARE})


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Epochs beside the bare loop; the package's share of a step."""
    rows = []
    for config, limit in (QUICK_EPOCHS if settings.quick else EPOCHS).items():
        times, name = epochs(config, settings), f'epoch of {config}'
        rows += rows_of(name, times, 'train.py', {'bare loop': limit})
    return rows + ResNetStep(settings).share('ResNet-50'), []
