"""What every backbone offers to the nets built on it. Knows no task: neither labels nor boxes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module, ABC):
    """A convolutional net whose maps at strides 4, 8, 16 and 32 px can be reached.

    `stage_channels` are the channels of those four maps; `head` names its classifying layer, which a net
    built for features alone (`classes=0`) does not have.
    """

    head: str
    stage_channels: tuple[int, int, int, int]

    @abstractmethod
    def forward_stages(self, images: Tensor) -> list[Tensor]:
        """Normalised images (N, 3, H, W) to maps (N, stage_channels[i], H / STRIDES[i], W / STRIDES[i])."""

    @abstractmethod
    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to logits (N, classes); without a head to what the head would see, (N, C)."""

    @abstractmethod
    def freeze_stages(self, count: int) -> None:
        """Stop the gradients of the stem and the first `count` of the four stages; 0 freezes nothing."""

    def forward_features(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to the map of the last stage (N, channels, H / 32, W / 32)."""
        return self.forward_stages(images)[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to logits (N, classes)."""
        return self.forward_head(self.forward_features(images))

    @property
    def channels(self) -> int:
        """Channels of the last map."""
        return self.stage_channels[-1]


def load_published(backbone: Backbone, weights: Mapping[str, Tensor]) -> None:
    """Load torchvision's weights of the same net, leaving its head out where this one has none.

    Raises RuntimeError, naming the keys, if anything but the head is missing or left over.
    """
    kept = weights
    if not hasattr(backbone, backbone.head):
        kept = {key: value for key, value in weights.items() if not key.startswith(f"{backbone.head}.")}
    backbone.load_state_dict(kept)
