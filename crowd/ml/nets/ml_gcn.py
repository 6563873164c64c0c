"""ML-GCN: label classifiers that a graph of co-occurring labels generates. Knows no style by name."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.backbones import create_backbone
from crowd.ml.nets.preprocess import Preprocess

POOLS = ("max", "mean")

Arrays = Any  # what torch.as_tensor takes: tensors, numpy arrays, nested lists


def count_together(labels: Tensor) -> Tensor:
    """0/1 labels (N, L) of N images to counts (L, L): how often two labels stood on the same image.

    The diagonal holds how often each label stood at all.
    """
    known = labels.to(torch.float64)
    return known.T @ known


def correlation_matrix(together: Arrays, *, tau: float = 0.4, p: float = 0.25) -> Tensor:
    """Counts (L, L) as of `count_together` to the re-weighted correlation matrix (L, L) float32.

    Chen et al., arXiv:1904.03582, section 3.3: P_ij = together_ij / together_ii is the share of the images
    with label i that also carry j; A_ij = 1 where P_ij >= tau (eq. 7), else 0; then p is spread over the
    neighbours of i, and 1 - p stays with i itself (eq. 8). A label without neighbours keeps 1 - p alone.
    Raises ValueError unless `together` is square and 0 <= tau, p <= 1.
    """
    counts = torch.as_tensor(together, dtype=torch.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"together: must be square, not of shape {tuple(counts.shape)}")
    for name, value in (("tau", tau), ("p", p)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {value} is not between 0 and 1")
    # A label never seen has no conditional probabilities: no neighbours either.
    times = counts.diagonal()[:, None]
    conditional = torch.where(times > 0, counts / times.clamp(min=1), 0)
    neighbours = ((conditional >= tau) & (counts > 0)).to(torch.float64).fill_diagonal_(0)
    spread = p * neighbours / neighbours.sum(dim=1, keepdim=True).clamp(min=1)
    return (spread + (1 - p) * torch.eye(len(counts), dtype=torch.float64)).float()


def normalised(correlation: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 of a matrix (L, L), D the diagonal of its row sums: what layers multiply by."""
    root = correlation.sum(dim=1).clamp(min=1e-12).rsqrt()
    return root[:, None] * correlation * root[None, :]


class GraphConvolution(nn.Module):
    """Kipf, Welling: Semi-Supervised Classification with Graph Convolutional Networks, arXiv:1609.02907.

    Nodes (L, in) and a normalised adjacency (L, L) to A X W, (L, out).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        bound = outputs**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """Each node the weighted sum of its neighbours, projected."""
        return adjacency @ (nodes @ self.weight)


class MLGCN(nn.Module):
    """Chen, Wei, Wang, Guo: Multi-Label Image Recognition with Graph Convolutional Networks, CVPR 2019.

    arXiv:1904.03582. Images (N, 3, S, S) float32 normalised to logits (N, labels): the dot products of the
    max-pooled feature with one classifier per label, which two graph convolutions make of word vectors.
    `word_vectors` is (labels, dim); without them each label starts from a random vector of `word_dim`
    numbers and length 1. `pool` "mean" instead of the paper's "max" is for nets that begin at random: of
    few, small images a largest cell says little. `correlation` is (labels, labels) as of
    `correlation_matrix`; without it labels are not linked. Both lie in the state dict, so a net whose
    weights are loaded needs neither.
    """

    def __init__(
        self,
        labels: int,
        *,
        word_vectors: Arrays | None = None,
        correlation: Arrays | None = None,
        word_dim: int = 300,
        hidden: int = 1024,
        pool: str = "max",
        backbone: str = "resnet101",
        size: int = 448,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool: {pool!r} is none of {', '.join(POOLS)}")
        self.preprocess = Preprocess(size)
        self.pool = pool
        words = _word_vectors(word_vectors, labels, word_dim)
        self.backbone = create_backbone(backbone)
        self.register_buffer("word_vectors", words)
        self.register_buffer("adjacency", normalised(_correlation(correlation, labels)))
        self.gc1 = GraphConvolution(words.shape[1], hidden)
        self.gc2 = GraphConvolution(hidden, self.backbone.channels)
        self._cached: tuple[tuple[tuple[int, int], ...], Tensor] | None = None

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to the backbone's last map (N, channels, S / 32, S / 32)."""
        return self.backbone.forward_features(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to logits (N, labels)."""
        return self._pooled(features) @ self.classifiers().T

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to logits (N, labels)."""
        return self.forward_head(self.forward_features(images))

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to pooled features (N, channels): for search by likeness."""
        return self._pooled(self.forward_features(images))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross entropy of 0/1 targets (N, labels), the mean of all."""
        return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))

    def classifiers(self) -> Tensor:
        """One classifier per label, (labels, channels); kept from call to call in eval without gradients.

        The graph depends on weights alone, so it need not be walked again per batch.
        """
        if self.training or torch.is_grad_enabled():
            self.drop_cache()
            return self._walk_graph()
        state = self._state_of_graph()
        if self._cached is None or self._cached[0] != state:
            self._cached = (state, self._walk_graph())
        return self._cached[1]

    def drop_cache(self) -> None:
        """Forget the classifiers, because what they were made of may change."""
        self._cached = None

    def train(self, mode: bool = True) -> "MLGCN":
        """Switch between training and eval; resuming training drops the cache."""
        self.drop_cache()
        return super().train(mode)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.drop_cache()
        super()._load_from_state_dict(*arguments)

    def _apply(self, *arguments: Any, **options: Any) -> "MLGCN":
        # Another device or dtype: the cached matrix stayed behind.
        self.drop_cache()
        return cast(MLGCN, super()._apply(*arguments, **options))  # type: ignore[no-untyped-call]

    def _pooled(self, features: Tensor) -> Tensor:
        return features.amax(dim=(2, 3)) if self.pool == "max" else features.mean(dim=(2, 3))

    def _walk_graph(self) -> Tensor:
        adjacency = cast(Tensor, self.adjacency)
        hidden = functional.leaky_relu(self.gc1(self.word_vectors, adjacency), 0.2)
        return cast(Tensor, self.gc2(hidden, adjacency))

    def _state_of_graph(self) -> tuple[tuple[int, int], ...]:
        # An averaged copy is updated in place and never trains: versions tell that its weights moved.
        made_of = (
            self.gc1.weight,
            self.gc2.weight,
            cast(Tensor, self.word_vectors),
            cast(Tensor, self.adjacency),
        )
        return tuple(
            (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in made_of
        )


def _word_vectors(given: Arrays | None, labels: int, word_dim: int) -> Tensor:
    if given is None:
        # Of length 1: the classifiers are sums over all their numbers, and long ones begin at logits of ten.
        return functional.normalize(torch.randn(labels, word_dim, generator=torch.Generator().manual_seed(0)))
    vectors = torch.as_tensor(given, dtype=torch.float32)
    if vectors.ndim != 2 or len(vectors) != labels:
        raise ValueError(f"word_vectors: shape {tuple(vectors.shape)} is not ({labels}, dimensions)")
    return vectors.clone()


def _correlation(given: Arrays | None, labels: int) -> Tensor:
    if given is None:
        return torch.eye(labels)
    matrix = torch.as_tensor(given, dtype=torch.float32)
    if matrix.shape != (labels, labels):
        raise ValueError(f"correlation: shape {tuple(matrix.shape)} is not ({labels}, {labels})")
    return matrix.clone()
