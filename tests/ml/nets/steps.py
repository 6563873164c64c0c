"""A few steps of training on one batch: whether a net learns at all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def losses_while_training(model: nn.Module, loss: Callable[[], Tensor], steps: int = 5) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    found = []
    model.train()
    for _ in range(steps):
        total = loss()
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        found.append(total.item())
    return found
