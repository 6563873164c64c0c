"""The backbones by name, without their heads. Knows no task."""

from collections.abc import Callable

from crowd.ml.nets.features import Backbone
from crowd.ml.nets.resnet import resnet18, resnet50, resnet101
from crowd.ml.nets.vgg import vgg16

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "vgg16": vgg16,
}


def create_backbone(name: str) -> Backbone:
    """A backbone without a head, randomly initialised. Raises ValueError for an unknown name."""
    if name not in BACKBONES:
        raise ValueError(f"backbone: {name!r} is none of {', '.join(BACKBONES)}")
    return BACKBONES[name](classes=0)
