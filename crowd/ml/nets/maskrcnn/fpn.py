"""A feature pyramid over a backbone's four stages. Knows no task."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.features import Backbone


class FeaturePyramid(nn.Module):
    """Lin et al.: Feature Pyramid Networks for Object Detection, arXiv:1612.03144 (CVPR 2017).

    Maps (N, channels[i], H / s, W / s) of strides s = 4, 8, 16, 32 to as many of `width` channels, and a
    fifth of stride 64, which takes every second cell of the fourth.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(count, width, 1)) for count in channels)
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1)) for _ in channels
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """From the coarsest stage down: each level is its stage plus the level above, enlarged."""
        inner = [block(stage) for block, stage in zip(self.inner_blocks, stages, strict=True)]
        for fine in range(len(inner) - 2, -1, -1):
            inner[fine] = inner[fine] + functional.interpolate(inner[fine + 1], size=inner[fine].shape[2:])
        levels = [block(maps) for block, maps in zip(self.layer_blocks, inner, strict=True)]
        return [*levels, functional.max_pool2d(levels[-1], 1, stride=2)]


class PyramidBackbone(nn.Module):
    """A backbone and the pyramid over it: images (N, 3, H, W) to five levels of `width` channels."""

    def __init__(self, body: Backbone, width: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramid(body.stage_channels, width)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Levels of strides 4, 8, 16, 32 and 64."""
        levels: list[Tensor] = self.fpn(self.body.forward_stages(images))
        return levels
