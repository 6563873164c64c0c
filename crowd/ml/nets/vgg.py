"""VGG-16 with torchvision's state-dict keys. Knows no task."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.features import Backbone

# Widths of the 3x3 convolutions before each of the five poolings.
_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(Backbone):
    """Simonyan, Zisserman: Very Deep Convolutional Networks …, arXiv:1409.1556 (2014), configuration D.

    Normalised images (N, 3, H, W) to logits (N, classes); 138 million parameters with 1000 classes, of
    which 124 million in the head. Its stages end with the second to fifth pooling: strides 4 to 32.
    """

    head = "classifier"
    stage_channels = (128, 256, 512, 512)

    def __init__(self, *, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers())
        if classes:
            self.classifier = _classifier(classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, module.bias))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward_stages(self, images: Tensor) -> list[Tensor]:
        """Normalised images (N, 3, H, W) to the maps after the second to fifth pooling."""
        maps, pooled = images, []
        for layer in self.features:
            maps = layer(maps)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(maps)
        return pooled[1:]

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to logits; without a head to its means (N, 512)."""
        if not hasattr(self, "classifier"):
            return features.mean(dim=(2, 3))
        return cast(Tensor, self.classifier(functional.adaptive_avg_pool2d(features, 7).flatten(1)))

    def freeze_stages(self, count: int) -> None:
        """Stop the gradients of everything before the pooling that ends stage `count`."""
        poolings = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        for layer in list(self.features)[: poolings[count] if count else 0]:
            layer.requires_grad_(False)


def vgg16(*, classes: int = 1000) -> VGG16:
    """VGG-16: last map of 512 channels."""
    return VGG16(classes=classes)


def _layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for widths in _WIDTHS:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers


def _classifier(classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, classes),
    )
