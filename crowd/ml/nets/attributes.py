"""The attribute classifier of garment crops and its loss. Knows attributes by key, and no taxonomy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.backbones import create_backbone
from crowd.ml.nets.preprocess import Preprocess

# An answer that does not count: the part is not asked, or nobody answered.
UNANSWERED = -1


@dataclass(frozen=True, slots=True)
class Question:
    """An attribute to the net: how many values there are, and whether several may hold at once."""

    values: int
    multiple: bool = False


class AttributeNet(nn.Module):
    """One linear head per attribute on the pooled map of a shared ImageNet backbone.

    The guideline's transferred ResNet or VGG (K-Fashion guideline v1.04, 7.1.1); multi-task heads on shared
    features as in Caruana: Multitask Learning, Machine Learning 28 (1997).
    Crops (N, 3, S, S) float32 normalised to {attribute: (N, values) logits}.
    """

    def __init__(
        self,
        questions: Mapping[str, Question | Mapping[str, int | bool]],
        *,
        backbone: str = "resnet50",
        size: int = 224,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not questions:
            raise ValueError("questions: at least one attribute is needed")
        self.preprocess = Preprocess(size)
        self.questions = {key: _question(question) for key, question in questions.items()}
        self.backbone = create_backbone(backbone)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {
                _module_name(key): nn.Linear(self.backbone.channels, question.values)
                for key, question in self.questions.items()
            }
        )

    def forward_features(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, S, S) to the backbone's last map (N, channels, S / 32, S / 32)."""
        return self.backbone.forward_features(crops)

    def forward_head(self, features: Tensor) -> dict[str, Tensor]:
        """The last map to {attribute: (N, values) logits}."""
        pooled = self.dropout(features.mean(dim=(2, 3)))
        return {key: self.heads[_module_name(key)](pooled) for key in self.questions}

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Crops (N, 3, S, S) to {attribute: (N, values) logits}."""
        return self.forward_head(self.forward_features(crops))

    def embed(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, S, S) to what the heads see, (N, channels): for search by likeness."""
        return self.forward_features(crops).mean(dim=(2, 3))

    def loss(self, logits: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> Tensor:
        """The masked loss of these attributes; see `attribute_loss`."""
        return attribute_loss(logits, answers, self.questions)

    def probabilities(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(N, values) probabilities: summing to one for single attributes, each for itself for multiple."""
        return {
            key: value.sigmoid() if self.questions[key].multiple else value.softmax(dim=1)
            for key, value in logits.items()
        }


def attribute_loss(
    logits: Mapping[str, Tensor], answers: Mapping[str, Tensor], questions: Mapping[str, Question]
) -> Tensor:
    """The sum over attributes of the mean loss of those answers that count; 0 with a graph if none does.

    `answers[key]` of a single attribute is (N,) int64, the index of the value, or UNANSWERED: cross entropy.
    Of a multiple one it is (N, values), 1 where a value holds, 0 where not, UNANSWERED where nobody knows:
    binary cross entropy. Attributes without an entry in `answers` do not count.
    """
    total = sum((value.sum() * 0 for value in logits.values()), start=torch.zeros(()))
    for key, given in answers.items():
        counted = given != UNANSWERED
        if counted.any():
            total = total + _mean_loss(logits[key], given, counted, questions[key].multiple)
    return total


def _mean_loss(logits: Tensor, given: Tensor, counted: Tensor, multiple: bool) -> Tensor:
    if multiple:
        return functional.binary_cross_entropy_with_logits(logits[counted], given[counted].to(logits.dtype))
    return functional.cross_entropy(logits[counted], given[counted])


def _question(question: Question | Mapping[str, int | bool]) -> Question:
    if isinstance(question, Question):
        return question
    return Question(values=question["values"], multiple=bool(question.get("multiple", False)))


def _module_name(key: str) -> str:
    # A module may not be called like a method of its dictionary ("values"), nor hold a dot.
    return f"attribute_{key.replace('.', '_')}"
