"""The plain multi-label classifier that the other style nets are compared with. Knows no style."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.backbones import create_backbone
from crowd.ml.nets.preprocess import Preprocess


class BaselineNet(nn.Module):
    """A backbone's mean-pooled map and one linear layer: the binary relevance baseline.

    As the ResNet baselines of Chen et al., arXiv:1904.03582, are built. Images (N, 3, S, S) float32
    normalised to logits (N, labels).
    """

    def __init__(self, labels: int, *, backbone: str = "resnet101", size: int = 448) -> None:
        super().__init__()
        self.preprocess = Preprocess(size)
        self.backbone = create_backbone(backbone)
        self.classifier = nn.Linear(self.backbone.channels, labels)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to the backbone's last map (N, channels, S / 32, S / 32)."""
        return self.backbone.forward_features(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to logits (N, labels)."""
        return cast(Tensor, self.classifier(features.mean(dim=(2, 3))))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to logits (N, labels)."""
        return self.forward_head(self.forward_features(images))

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to pooled features (N, channels): for search by likeness."""
        return self.forward_features(images).mean(dim=(2, 3))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross entropy of 0/1 targets (N, labels), the mean of all."""
        return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
