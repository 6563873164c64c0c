"""Losses of multi-label classifiers. Knows logits and targets, no net."""

from torch import Tensor
from torch.nn import functional


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 0.0,
    margin: float = 0.05,
) -> Tensor:
    """Ridnik et al.: Asymmetric Loss for Multi-Label Classification, arXiv:2009.14119 (ICCV 2021).

    Logits and 0/1 targets, both (N, labels), to a scalar: summed over labels, the mean over images. Easy
    negatives fade by `gamma_negative`, and those with a probability under `margin` count nothing.
    """
    if logits.shape != targets.shape:
        raise ValueError(f"targets: shape {tuple(targets.shape)} is not that of logits {tuple(logits.shape)}")
    positive = logits.sigmoid()
    shifted = (positive - margin).clamp(min=0)
    # log(1 - shifted): at margin 0 the clamp keeps a certain mistake finite.
    of_positives = targets * (1 - positive) ** gamma_positive * functional.logsigmoid(logits)
    of_negatives = (1 - targets) * shifted**gamma_negative * (1 - shifted).clamp(min=1e-8).log()
    return -(of_positives + of_negatives).sum(dim=1).mean()
