"""ResNet-18, -50 and -101 with torchvision's state-dict keys. Knows no task."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.features import Backbone

Norm: TypeAlias = Callable[[int], nn.Module]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation with constants for statistics: for small batches on published weights.

    (N, C, H, W) to the same shape. Reads weights of nn.BatchNorm2d; it has no `num_batches_tracked`.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, maps: Tensor) -> Tensor:
        """Scale and shift every channel."""
        weight, bias, mean, variance = (
            cast(Tensor, getattr(self, name))[:, None, None]
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight * (variance + self.eps).rsqrt()
        return maps * scale + (bias - mean * scale)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added again: (N, in, H, W) to (N, width, H/s, W/s)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width, stride)
        self.bn1 = norm(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = norm(width)
        self.downsample = _downsample(channels, width, stride, norm)

    def forward(self, maps: Tensor) -> Tensor:
        """One residual step."""
        out = functional.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        return functional.relu(out + (maps if self.downsample is None else self.downsample(maps)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions: (N, in, H, W) to (N, 4 width, H/s, W/s); the 3x3 one carries the stride."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        wide = width * self.expansion
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = norm(wide)
        self.downsample = _downsample(channels, wide, stride, norm)

    def forward(self, maps: Tensor) -> Tensor:
        """One residual step."""
        out = functional.relu(self.bn1(self.conv1(maps)))
        out = functional.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return functional.relu(out + (maps if self.downsample is None else self.downsample(maps)))


class ResNet(Backbone):
    """He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385 (2015).

    Normalised images (N, 3, H, W) to logits (N, classes). `blocks` are the residual steps of each stage;
    `norm` makes the normalisation of so many channels.
    """

    head = "fc"

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
        *,
        classes: int = 1000,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        widths = (64, 128, 256, 512)
        self.stage_channels = cast(
            tuple[int, int, int, int], tuple(width * block.expansion for width in widths)
        )
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        channels = 64
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
            stage = _stage(block, channels, width, count, 1 if number == 1 else 2, norm)
            setattr(self, f"layer{number}", stage)
            channels = width * block.expansion
        if classes:
            self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_stages(self, images: Tensor) -> list[Tensor]:
        """Normalised images (N, 3, H, W) to the maps of layer1 to layer4."""
        maps = functional.max_pool2d(functional.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        stages = []
        for stage in self._stages():
            maps = stage(maps)
            stages.append(maps)
        return stages

    def forward_head(self, features: Tensor) -> Tensor:
        """The map of layer4 to logits; without a head to its means (N, channels)."""
        pooled = features.mean(dim=(2, 3))
        return cast(Tensor, self.fc(pooled)) if hasattr(self, "fc") else pooled

    def freeze_stages(self, count: int) -> None:
        """Stop the gradients of the stem and of layer1 to layer`count`."""
        frozen = [self.conv1, self.bn1, *self._stages()[:count]] if count else []
        for module in frozen:
            module.requires_grad_(False)

    def _stages(self) -> list[nn.Module]:
        return [getattr(self, f"layer{number}") for number in (1, 2, 3, 4)]


def resnet18(*, classes: int = 1000, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """ResNet-18: last map of 512 channels; 11.7 million parameters with 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes=classes, norm=norm)


def resnet50(*, classes: int = 1000, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """ResNet-50: last map of 2048 channels; 25.6 million parameters with 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes=classes, norm=norm)


def resnet101(*, classes: int = 1000, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """ResNet-101: last map of 2048 channels; 44.5 million parameters with 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes=classes, norm=norm)


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, count: int, stride: int, norm: Norm
) -> nn.Sequential:
    first = block(channels, width, stride, norm)
    rest = [block(width * block.expansion, width, 1, norm) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def _conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)


def _downsample(channels: int, width: int, stride: int, norm: Norm) -> nn.Sequential | None:
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), norm(width))
