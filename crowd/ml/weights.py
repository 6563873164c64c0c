"""Model files: weights as safetensors, with a card in the metadata that rebuilds the net that wrote them.

The card is a JSON document under `crowd`: `stage`, `net` and `options` (of `create_model`), `classes` and
`multiple` (keys of the taxonomy in the order of the net's outputs), `inputs` (how an image becomes what the
net takes), `benchmark`, `metrics`, `taxonomy` and `training`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crowd.core.errors import Problem
from crowd.ml.nets import create_model

KEY = "crowd"

Card = dict[str, Any]


class WeightsError(Problem):
    """A file of weights cannot be used; the message says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__("bad_weights", f"{path}: {why}")


def save_model(path: Path, model: nn.Module, card: Card) -> None:
    """Write a net's weights and card: the file is there as a whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    save_file(tensors, part, metadata={KEY: json.dumps(card, ensure_ascii=False)})
    os.replace(part, path)


def load_model(path: Path) -> tuple[nn.Module, Card]:
    """The net of a file that `save_model` wrote, in eval mode, and its card. Raises WeightsError."""
    card = read_card(path)
    if not {"net", "options"} <= card.keys():
        raise WeightsError(path, "its card does not describe its weights: it names no net")
    return load_net(path, card["net"], card["options"]), card


def load_net(path: Path, net: str, options: Mapping[str, Any]) -> nn.Module:
    """The net that a card describes, with a file's weights, in eval mode. Raises WeightsError, OSError."""
    try:
        model = create_model(net, **options)
        model.load_state_dict(load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(path, f"its card does not describe its weights: {error}") from None
    return model.eval()


def read_card(path: Path) -> Card:
    """The card of a model file. Raises WeightsError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        card: Card = json.loads(metadata[KEY])
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"cannot be read: {error}") from None
    except (KeyError, ValueError):
        raise WeightsError(path, "was not written by `crowd train`") from None
    return card


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Weights as others publish them: a state dict as safetensors, or as `torch.save` wrote it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"cannot be read: {error}") from None
    except Exception as error:
        # What torch.load raises for a file of another kind is not told, and changes.
        raise WeightsError(path, f"is no file of weights: {type(error).__name__}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(path, "is no state dict")
    return state
