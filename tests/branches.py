"""Branches, a head and a loss as a user would write them, outside bcl_mm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bcl_mm.models import LongTailHead
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather


@MODELS.register_module()
class QueueBranch(nn.Module):
    """Contrasts view 1 with a queue of earlier features of all ranks."""

    def __init__(self, num_classes, in_channels, size=16, weight=1.0):
        super().__init__()
        self.weight = weight
        self.projector = nn.Linear(in_channels, 4)
        self.register_buffer('queue', torch.zeros(size, 4))
        self.register_buffer('queue_labels', torch.full((size,), -1))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))

    def forward(self, features, labels, targets, head, **extra):
        anchors = F.normalize(self.projector(features[-1]), dim=1)  # (B, 4)
        keys = torch.cat([gather(anchors), self.queue])
        all_labels = gather(labels)
        key_labels = torch.cat([all_labels, self.queue_labels])
        positive = (labels[:, None] == key_labels) & (key_labels >= 0)
        log_p = (anchors @ keys.T).log_softmax(1)
        loss = -(log_p * positive).sum(1) / positive.sum(1)
        rows = torch.arange(len(all_labels), device=labels.device)
        rows = (self.position + rows) % len(self.queue)
        self.queue[rows] = keys[: len(all_labels)].detach()
        self.queue_labels[rows] = all_labels
        self.position += len(all_labels)
        return dict(
            loss=self.weight * loss.mean(), batch_positives=positive.sum()
        )


@MODELS.register_module()
class StatisticsBranch(nn.Module):
    """Pulls features to running class means, weighted by class counts."""

    def __init__(self, num_classes, in_channels, momentum=0.9, weight=0.1):
        super().__init__()
        self.weight = weight
        self.momentum = momentum
        self.register_buffer('means', torch.zeros(num_classes, in_channels))
        self.register_buffer('class_weights', torch.zeros(num_classes))
        self.register_buffer('epochs', torch.zeros((), dtype=torch.long))
        self.progress = []

    def set_class_info(self, info):
        counts = torch.as_tensor(info.counts, dtype=torch.float32)
        self.class_weights.copy_(counts.sum() / counts / len(counts))

    def start_epoch(self, epoch):
        self.epochs += 1
        assert self.epochs == epoch + 1

    def set_progress(self, progress):
        self.progress.append(progress)

    def forward(self, features, labels, targets, head, **extra):
        rows = features[0]  # (B, D)
        weights = self.class_weights[labels].to(rows)
        distance = (rows - self.means[labels]).pow(2).mean(1)
        if self.training:
            every, every_label = gather(rows.detach()), gather(labels)
            hot = F.one_hot(every_label, len(self.means)).to(every)  # (N, C)
            counts = hot.sum(0)[:, None]
            means = hot.T @ every / counts.clamp(min=1)
            step = (1 - self.momentum) * (counts > 0).to(means)
            self.means.lerp_(means, step.expand_as(means))
        return dict(loss=self.weight * (weights * distance).mean())


@MODELS.register_module()
class ThreeClassifiers(LongTailHead):
    """Three linear classifiers, averaged in testing."""

    def build_classifier(self):
        return nn.ModuleList(
            nn.Linear(self.in_channels, self.num_classes) for _ in range(3)
        )

    def logits(self, rows):
        return torch.stack([one(rows) for one in self.classifier]).mean(0)

    def classification_loss(self, features, targets):
        losses = [
            self.loss_module(one(features), targets, avg_factor=len(targets))
            for one in self.classifier
        ]
        return sum(losses)


@MODELS.register_module()
class EpochLoss(nn.Module):
    """Label smoothing by the epoch and a running mean, both buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer('epoch', torch.zeros((), dtype=torch.long))
        self.register_buffer('average', torch.zeros(()))

    def start_epoch(self, epoch):
        self.epoch.fill_(epoch)

    def forward(self, logits, labels, avg_factor=None):
        smoothing = 0.2 / (1 + self.epoch + self.average)
        log_p = logits.log_softmax(1)
        hard = -log_p.gather(1, labels[:, None]).squeeze(1)
        if self.training:
            self.average.lerp_(hard.detach().mean().float(), 0.1)
        return ((1 - smoothing) * hard - smoothing * log_p.mean(1)).mean()
