"""What each task hands to the one training loop: net, data, loss, evaluation, and the baseline beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.data import Dataset

from crowd.core.errors import field_error
from crowd.ml.data import Sample
from crowd.ml.hyper import Hyper, Task
from crowd.ml.metrics import Figures
from crowd.ml.nets import Backbone, Preprocess, create_model, load_published
from crowd.ml.training.ranks import Ranks
from crowd.ml.weights import WeightsError, read_state


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a training is told, but for the data."""

    task: Task
    model: str
    hyper: Hyper
    output: Path
    seed: int = 0
    weights: Path | None = None
    amp: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    word_vectors: Path | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task made ready.

    `card` tells how to rebuild and feed the net; `loss_of` gives the loss of a batch on a device;
    `figures_of` evaluates the net on samples (the same in every rank), `prior_of` what one would say
    without looking, by the frequencies of the training split; `headline` is the figure that chooses the
    best epoch.
    """

    net: nn.Module
    card: Mapping[str, Any]
    train: "Dataset[Any]"
    loss_of: Callable[[nn.Module, Any], Tensor]
    figures_of: Callable[[nn.Module, Sequence[Sample], Ranks], Figures]
    prior_of: Callable[[Sequence[Sample]], Figures]
    headline: str
    collate: Callable[[Any], Any] | None = None


def preprocess_of(net: nn.Module) -> Preprocess:
    """How the net takes images."""
    return cast(Preprocess, net.preprocess)


def build(setting: Setting, **options: Any) -> nn.Module:
    """The net, its backbone begun with the published weights if there are any. Raises a 422, WeightsError."""
    try:
        net = create_model(setting.model, **{**options, **setting.options})
    except (TypeError, ValueError) as error:
        raise field_error("--model-option", str(error)) from None
    if setting.weights:
        load_backbone(net, setting.weights)
    return net


def load_backbone(net: nn.Module, path: Path) -> None:
    """Begin the net's backbone with weights as torchvision publishes them. Raises WeightsError."""
    try:
        load_published(backbone_of(net), read_state(path))
    except RuntimeError as error:
        raise WeightsError(path, f"are not of this backbone: {str(error)[:300]}") from None


def backbone_of(net: nn.Module) -> Backbone:
    """The part of a net that published weights are for."""
    return next(module for module in net.modules() if isinstance(module, Backbone))
