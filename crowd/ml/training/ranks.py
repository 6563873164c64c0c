"""The processes that train together, as `torchrun` starts them; one alone otherwise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from crowd.core.errors import field_error

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among `world` processes, and its device. Rank 0 writes and speaks."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def mean(self, value: Tensor) -> float:
        """The mean of a number over all processes: the same in each, so that they stop together."""
        total = value.detach().float().clone()
        if self.world > 1:
            dist.all_reduce(total)
        return float(total) / self.world

    def gather(self, mine: list[T]) -> list[T]:
        """What all processes have, one after the other."""
        if self.world == 1:
            return mine
        every: list[list[T]] = [[] for _ in range(self.world)]
        dist.all_gather_object(every, mine)
        return [item for part in every for item in part]


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks that the environment describes; `device` is auto, cpu, cuda or cuda:N. Raises a 422."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device, local)
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, world, chosen)
    finally:
        dist.destroy_process_group()


def choose_device(name: str, local: int = 0) -> torch.device:
    """The device of that name; auto is a GPU of one's own if there is one. Raises a 422 about `--device`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{local}" if name == "cuda" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise field_error("--device", f"{name!r} cannot be used here: {reason}") from None
    return device
