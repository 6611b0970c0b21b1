"""The training step of S2-BNN in PyTorch: momentum contrast, distillation, or both.

Momentum contrast: https://arxiv.org/abs/1911.05722, algorithm 1 and equations 1 and 2.
Distillation: https://arxiv.org/abs/2102.08946, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from oracle.publishers import MoCo


@dataclass(frozen=True)
class Recipe:
    contrastive: bool
    distillation: bool
    weight_decay: float


# Only the contrastive recipe has weight decay.
RECIPES = {
    "contrastive": Recipe(True, False, 1e-4),
    "contrastive_distillation": Recipe(True, True, 0.0),
    "distillation": Recipe(False, True, 0.0),
}
LEARNING_RATE, TEMPERATURE, MOMENTUM = 3e-4, 0.2, 0.999


def contrast(query, key, queue):
    """The first class of a query is its own key, the other classes are the keys of the queue."""
    positive = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ queue], dim=1) / TEMPERATURE
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))


def distil(query, target):
    """Cross-entropy between the distributions over the coordinates of the embeddings."""
    return F.cross_entropy(query / TEMPERATURE, F.softmax(target / TEMPERATURE, dim=1))


class Trainer:
    """Trains `moco.encoder_q` by Adam."""

    def __init__(self, recipe: Recipe, moco: MoCo, teacher: nn.Module | None):
        self.recipe, self.moco = recipe, moco.train()
        self.teacher = None if teacher is None else teacher.eval()
        self.optimizer = torch.optim.Adam(
            moco.encoder_q.parameters(), lr=LEARNING_RATE, weight_decay=recipe.weight_decay
        )

    def step(self, query_view: torch.Tensor, key_view: torch.Tensor) -> dict[str, float]:
        """Update once, and return the losses before the update."""
        moco, losses = self.moco, {}
        query = F.normalize(moco.encoder_q(query_view))
        if self.recipe.contrastive:
            with torch.no_grad():
                self.follow()
                key = F.normalize(moco.encoder_k(key_view))
            losses["contrastive"] = contrast(query, key, moco.queue.clone())
        if self.recipe.distillation:
            with torch.no_grad():
                target = F.normalize(self.teacher(query_view))
            losses["distillation"] = distil(query, target)
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.optimizer.step()
        if self.recipe.contrastive:
            self.enqueue(key)
        return {name: loss.item() for name, loss in losses.items()}

    def follow(self) -> None:
        pairs = zip(self.moco.encoder_q.parameters(), self.moco.encoder_k.parameters(), strict=True)
        for ours, theirs in pairs:
            theirs.copy_(MOMENTUM * theirs + (1 - MOMENTUM) * ours)

    def enqueue(self, keys: torch.Tensor) -> None:
        size = self.moco.queue.shape[1]
        start = int(self.moco.queue_ptr)
        places = (start + torch.arange(len(keys))) % size
        self.moco.queue[:, places] = keys.T
        self.moco.queue_ptr[0] = (start + len(keys)) % size
