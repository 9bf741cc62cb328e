"""Whole epochs beside a bare loop, and the package's share of a step."""

from __future__ import annotations

import argparse
import tempfile
import time
from types import SimpleNamespace
from typing import Callable, Dict, List, Tuple

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader

from bcl_mm import config_path
from bcl_mm.apis.config import build_runner, check_data_roots, load_config
from bcl_mm.classes import count_classes
from bcl_mm.engine.hooks.class_complement import ClassComplementHook
from bcl_mm.engine.hooks.finite_loss import FiniteLossHook
from bcl_mm.engine.hooks.sample_seed import SampleSeedHook
from bcl_mm.models.heads import BCLHead
from benchmarks.common import Curve, Row, Settings, interleave, median

# Configs, and the most of the bare loop's time.
EPOCHS = {
    'bcl_resnet8_fashion_mnist_lt': 1.15,
    'ce_resnet8_fashion_mnist_lt': None,
}
QUICK_EPOCHS = {'bcl_resnet8_digits_lt': None}
SHARE = 0.01


class BareLoop:
    """An epoch of a config without Runner, as a user would write it."""

    def __init__(self, runner: Runner) -> None:
        cfg = runner.cfg
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        loader = runner.train_dataloader
        self.loader = DataLoader(
            dataset,
            batch_size=loader.batch_size,
            shuffle=True,
            num_workers=loader.num_workers,
            persistent_workers=loader.persistent_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
        )
        device = next(runner.model.parameters()).device
        model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
        self.model = MODELS.build(model).to(device)
        self.model.init_weights()
        self.model.head.set_class_counts(count_classes(dataset))
        wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.optimizer = wrapper.optimizer

    def epoch(self) -> None:
        """Train one epoch."""
        self.model.train()
        for batch in self.loader:
            data = self.model.data_preprocessor(batch, True)
            losses = self.model(**data, mode='loss')
            loss = sum(v for name, v in losses.items() if 'loss' in name)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class InTurnHook(Hook):
    """Times each epoch of a Runner, and one of the bare loop after it."""

    priority = 'HIGHEST'  # the epoch alone, without its checkpoint

    def __init__(self) -> None:
        self.times: Dict[str, List[float]] = {'train.py': [], 'bare': []}

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        """Note the time; run the bare loop."""
        self._note('train.py')
        if not hasattr(self, 'bare'):
            self.bare = BareLoop(runner)
        self.start = time.perf_counter()
        self.bare.epoch()
        self._note('bare')

    def _note(self, name: str) -> None:
        self.times[name].append(1e3 * (time.perf_counter() - self.start))


def epochs(config: str, repeats: int) -> Dict[str, List[float]]:
    """Milliseconds of epochs of train.py's Runner and of the bare loop."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(
            argparse.Namespace(
                config=config_path(config),
                work_dir=folder,
                cfg_options=None,
                amp=False,
                no_pin_memory=False,
                launcher='none',
                local_rank=0,
            )
        )
        check_data_roots(cfg, ('train_dataloader',))
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.log_level = 'WARNING'
        cfg.train_cfg = dict(by_epoch=True, max_epochs=repeats + 1)
        runner = build_runner(cfg)
        in_turn = InTurnHook()
        runner.register_hook(in_turn)
        runner.train()
    # The first epoch starts the workers.
    return {name: times[1:] for name, times in in_turn.times.items()}


class ResNetStep:
    """A step of ResNet-50 on three views, and what of it is ours."""

    def __init__(self, device: torch.device, quick: bool) -> None:
        side, batch_size = (32, 4) if quick else (224, 32)
        widths = (64, 32) if quick else (2048, 1024)
        self.num_classes = 20 if quick else 1000
        torch.manual_seed(0)
        self.images = [
            torch.randint(
                256, (batch_size, 3, side, side), dtype=torch.uint8
            ).to(device)
            for _ in range(3)
        ]
        self.labels = torch.randint(self.num_classes, (batch_size,))
        self.labels = self.labels.to(device)
        self.samples = [DataSample().set_gt_label(n) for n in self.labels]
        self.model = ImageClassifier(
            backbone=dict(type='mmpretrain.ResNet', depth=50),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(
                type='bcl_mm.BCLHead',
                num_classes=self.num_classes,
                in_channels=2048,
                hidden_channels=widths[0],
                out_channels=widths[1],
            ),
            data_preprocessor=dict(
                type='bcl_mm.MultiViewDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                to_rgb=True,
            ),
        ).to(device)
        self.head.set_class_counts(torch.arange(self.num_classes) + 1)
        rows = torch.randn(3 * batch_size, 2048, device=device)
        self.features = rows.requires_grad_()
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.hooks = self._hooks()

    @property
    def head(self) -> BCLHead:
        """The model's head."""
        return self.model.head

    def _hooks(self) -> List[Hook]:
        wrapper = OptimWrapper(torch.optim.SGD(self.model.parameters(), 0.1))
        self.runner = SimpleNamespace(
            model=self.model,
            optim_wrapper=wrapper,
            train_dataloader=range(1000),
            iter=0,
            max_iters=1000,
            seed=0,
            rank=0,
            world_size=1,
        )
        finite = FiniteLossHook()
        finite.before_train(self.runner)
        return [finite, ClassComplementHook(), SampleSeedHook()]

    def ours(self) -> None:
        """Views, hooks, head and losses, forward and backward."""
        batch = dict(inputs=self.images, data_samples=self.samples)
        for hook in self.hooks:
            hook.before_train_iter(self.runner, 0, batch)
        self.model.data_preprocessor(batch, True)
        losses = self.head.loss((self.features,), self.samples)
        loss, _ = self.model.parse_losses(losses)
        self.runner.optim_wrapper.backward(loss)

    def products(self) -> None:
        """The products alone: classifier, projectors, similarities; views."""
        self.inputs()
        batch_size, head = len(self.labels), self.head
        weight = head.classifier.weight
        logits = F.linear(self.features[:batch_size], weight)
        anchors = head.projector(self.features)[batch_size:]
        keys = torch.cat([anchors, head.prototype_projector(weight)])
        similarity = anchors @ keys.T
        torch.autograd.backward(
            [logits, similarity], [logits.detach(), similarity.detach()]
        )

    def inputs(self) -> Tensor:
        """(V * B, 3, H, W) normalised views."""
        views = torch.cat(self.images).flip(1).float()
        preprocessor = self.model.data_preprocessor
        return (views - preprocessor.mean) / preprocessor.std

    def backbone(self) -> None:
        """Forward and backward of the backbone."""
        features = self.model.extract_feat(self.inputs())[0]
        features.backward(self.features.detach())


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Epochs beside the bare loop; the package's share of a step."""
    rows = []
    for config, limit in (QUICK_EPOCHS if settings.quick else EPOCHS).items():
        times = epochs(config, settings.repeats)
        name = f'epoch of {config}'
        rows.append(
            Row(name, times['train.py'], 'bare loop', times['bare'], limit)
        )
    step = ResNetStep(settings.device, settings.quick)
    few = min(3, settings.repeats)
    of_step = interleave({'step': step.backbone}, few, settings.device)
    parts: Dict[str, Callable] = dict(ours=step.ours, products=step.products)
    times = interleave(parts, settings.repeats, settings.device)
    whole = median(of_step['step']) + median(times['ours'])
    own = [a - b for a, b in zip(times['ours'], times['products'])]
    rows.append(
        Row(
            'our share of a ResNet-50 step, 32 images x 3 views',
            own,
            'whole step',
            [whole] * len(own),
            SHARE,
        )
    )
    return rows, []
