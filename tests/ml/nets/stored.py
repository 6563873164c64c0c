"""What the reference implementations answered; the two make_…reference.py say how they were asked."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent


@cache
def _values() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in ("reference.npz", "reference_styles.npz"):
        with np.load(FOLDER / name) as file:
            found |= dict(file)
    return found


def value(name: str) -> Tensor:
    return torch.from_numpy(_values()[name])


@cache
def keys(name: str) -> dict[str, tuple[int, ...]]:
    """State-dict keys and shapes of a published net."""
    text = (FOLDER / "reference_keys.json").read_text(encoding="utf-8")
    return {key: tuple(shape) for key, shape in json.loads(text)[name].items()}
