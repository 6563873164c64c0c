"""Query2Label: one learnt query per label reads the feature map. Knows no style by name."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.backbones import create_backbone
from crowd.ml.nets.losses import asymmetric_loss
from crowd.ml.nets.preprocess import Preprocess


def position_encoding(height: int, width: int, dim: int) -> Tensor:
    """Sines and cosines of a cell's row (first dim / 2 channels) and column: (height * width, dim).

    The 2-D form of Carion et al. (DETR), arXiv:2005.12872: positions scaled to 0 to 2 pi, temperature 10000.
    """
    rows = torch.arange(1, height + 1, dtype=torch.float32) / (height + 1e-6) * 2 * math.pi
    columns = torch.arange(1, width + 1, dtype=torch.float32) / (width + 1e-6) * 2 * math.pi
    down = _waves(rows, dim // 2)[:, None, :].expand(height, width, dim // 2)
    across = _waves(columns, dim // 2)[None, :, :].expand(height, width, dim // 2)
    return torch.cat([down, across], dim=2).reshape(height * width, dim)


def _waves(positions: Tensor, dim: int) -> Tensor:
    steps = torch.arange(dim // 2, dtype=torch.float32)
    angles = positions[:, None] / 10000 ** (2 * steps / dim)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class DecoderLayer(nn.Module):
    """Vaswani et al.: Attention Is All You Need, arXiv:1706.03762; normalised after each step.

    Queries (N, labels, dim) look at each other, then at the map (N, cells, dim), then at themselves. Label
    embeddings and positions are added to what is compared, not to what is carried on.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, labels: Tensor, cells: Tensor, positions: Tensor) -> Tensor:
        """Queries and label embeddings (N, labels, dim), cells (N, cells, dim), positions (cells, dim)."""
        asked = queries + labels
        seen, _ = self.self_attention(asked, asked, queries, need_weights=False)
        queries = self.norm1(queries + self.dropout(seen))
        found, _ = self.cross_attention(queries + labels, cells + positions, cells, need_weights=False)
        queries = self.norm2(queries + self.dropout(found))
        thought = self.linear2(self.dropout(functional.relu(self.linear1(queries))))
        return cast(Tensor, self.norm3(queries + self.dropout(thought)))


class GroupLinear(nn.Module):
    """A linear classifier of its own for each label: (N, labels, dim) to logits (N, labels)."""

    def __init__(self, labels: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(labels, dim))
        self.bias = nn.Parameter(torch.empty(labels))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)

    def forward(self, queries: Tensor) -> Tensor:
        """The dot product of each query with its label's weights."""
        return (queries * self.weight).sum(dim=-1) + self.bias


class Query2Label(nn.Module):
    """Liu, Zhang, Yang, Su, Zhu: Query2Label …, arXiv:2107.10834 (2021).

    Images (N, 3, S, S) float32 normalised to logits (N, labels): a 1x1 projection of the backbone's map to
    `dim` channels with positions, `layers` decoder layers, a group-wise linear layer. As in the paper's
    text there is no encoder, and queries start from zero, told apart by their learnt label embeddings.
    """

    def __init__(
        self,
        labels: int,
        *,
        dim: int = 2048,
        heads: int = 4,
        feedforward: int = 8192,
        layers: int = 2,
        dropout: float = 0.1,
        backbone: str = "resnet101",
        size: int = 448,
    ) -> None:
        super().__init__()
        if dim % 4 or dim % heads:
            raise ValueError(f"dim: {dim} must be a multiple of 4 and of heads ({heads})")
        self.preprocess = Preprocess(size)
        self.backbone = create_backbone(backbone)
        self.project = nn.Conv2d(self.backbone.channels, dim, 1)
        self.label_embeddings = nn.Parameter(torch.randn(labels, dim))
        self.decoder = nn.ModuleList(DecoderLayer(dim, heads, feedforward, dropout) for _ in range(layers))
        self.classifier = GroupLinear(labels, dim)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to the backbone's last map (N, channels, S / 32, S / 32)."""
        return self.backbone.forward_features(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to logits (N, labels)."""
        projected = self.project(features)
        height, width = projected.shape[2:]
        positions = position_encoding(height, width, projected.shape[1]).to(projected)
        cells = projected.flatten(2).transpose(1, 2)
        labels = self.label_embeddings.expand(len(features), -1, -1)
        queries = torch.zeros_like(labels)
        for layer in self.decoder:
            queries = layer(queries, labels, cells, positions)
        return cast(Tensor, self.classifier(queries))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to logits (N, labels)."""
        return self.forward_head(self.forward_features(images))

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to pooled features (N, channels): for search by likeness."""
        return self.forward_features(images).mean(dim=(2, 3))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The asymmetric loss of 0/1 targets (N, labels)."""
        return asymmetric_loss(logits, targets.to(logits.dtype))
