"""The hyper-parameters of training and their defaults, in one place. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple


class Task(StrEnum):
    """What can be trained."""

    ATTRIBUTES = "attributes"
    STYLES = "styles"
    SEGMENTATION = "segmentation"


class Optimizer(StrEnum):
    """How weights are moved: SGD with momentum, or Adam with decoupled weight decay."""

    SGD = "sgd"
    ADAMW = "adamw"


class Schedule(StrEnum):
    """How the learning rate goes down: to a tenth at 60 % and 80 % of the steps, along a cosine, or not."""

    STEPS = "steps"
    COSINE = "cosine"
    CONSTANT = "constant"


class Told(NamedTuple):
    """What an option says of a hyper-parameter, and the least it may be."""

    about: str
    least: float = 0


@dataclass(frozen=True, slots=True)
class Hyper:
    """Hyper-parameters of one training; the defaults are the guideline's wherever it names one."""

    backbone: Annotated[str, Told("resnet18, resnet50, resnet101 or vgg16.")] = "resnet101"
    image_size: Annotated[int, Told("Pixels: side of the square; of segmentation the shorter side.", 32)] = (
        448
    )
    epochs: Annotated[int, Told("Passes over the training images.", 1)] = 50
    batch_size: Annotated[int, Told("Images or garments of a step, on each device.", 1)] = 16
    optimizer: Annotated[Optimizer, Told("How weights are moved.")] = Optimizer.SGD
    lr: Annotated[float, Told("Learning rate.")] = 0.001
    lr_pretrained: Annotated[float, Told("The same of layers that began with --weights.")] = 0.001
    momentum: Annotated[float, Told("Of SGD.")] = 0.9
    weight_decay: Annotated[float, Told("Of all weights.")] = 1e-4
    schedule: Annotated[Schedule, Told("How the learning rate goes down.")] = Schedule.STEPS
    warm_up: Annotated[int, Told("Epochs in which the learning rate comes up.")] = 0
    clip: Annotated[float, Told("The longest gradient of a step; 0: any.")] = 10.0
    workers: Annotated[int, Told("Processes that decode images; 0: none.")] = 4


DEFAULTS: Mapping[Task, Hyper] = {
    Task.ATTRIBUTES: Hyper(backbone="resnet50", image_size=224, epochs=20, batch_size=64, lr=0.01),
    Task.STYLES: Hyper(),
    # As torchvision trains its own: 0.02 for 16 images.
    Task.SEGMENTATION: Hyper(
        backbone="resnet50",
        image_size=800,
        epochs=26,
        batch_size=2,
        lr=0.0025,
        lr_pretrained=0.0025,
        warm_up=1,
    ),
}
# Nets by task, the default first.
MODELS: Mapping[Task, tuple[str, ...]] = {
    Task.ATTRIBUTES: ("attributes", "fashionnet"),
    Task.STYLES: ("ml_gcn", "query2label", "baseline"),
    Task.SEGMENTATION: ("maskrcnn",),
}
