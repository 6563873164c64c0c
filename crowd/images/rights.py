"""By what right an image is used, and when a contract holds. PURE."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Rights(StrEnum):
    """By what right the image is used (guideline 3.1)."""

    OWNED = "owned"
    LICENSED = "licensed"
    CONSENT = "consent"
    UNKNOWN = "unknown"


class Use(StrEnum):
    """What a contract may allow."""

    LABELLING = "labelling"
    TRAINING = "training"
    RELEASE = "release"


# Without these an image would be labelled in vain.
NEEDED = frozenset({Use.LABELLING, Use.RELEASE})


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a contract decides whether it holds; a declaration has no file.

    `kind` unknown: it stands for the word of an admin, who let images in of which nobody knew more.
    """

    kind: Rights
    valid_from: date | None
    valid_to: date | None
    withdrawn_at: datetime | None
    allows: Collection[str]
    has_file: bool


def unsettled(
    rights: Rights, terms: Terms | None, today: date, *, proof_required: bool
) -> tuple[str, str] | None:
    """Code and sentence of what keeps an image of these rights from use; None when nothing does."""
    if terms is None or (rights is Rights.UNKNOWN and terms.kind is not Rights.UNKNOWN):
        return "rights_unknown", "the right to use the image is not settled"
    if terms.withdrawn_at is not None:
        return "rights_withdrawn", "the contract that the image came under was withdrawn"
    if terms.valid_to is not None and terms.valid_to < today:
        return expired(terms.valid_to)
    if terms.valid_from is not None and terms.valid_from > today:
        return "rights_not_yet", f"the contract holds from {terms.valid_from} on"
    if missing := sorted(NEEDED - set(terms.allows)):
        return "rights_limited", f"the contract does not allow: {', '.join(missing)}"
    if proof_required and not terms.has_file:
        return "rights_unproven", "no contract or consent was handed in"
    return None


def allows_training(rights: Rights, allows: Collection[str] | None) -> bool:
    """Whether models may learn from an image; `allows` is its contract's, None for one without a contract."""
    return rights is not Rights.UNKNOWN if allows is None else Use.TRAINING in allows


def expired(last_day: date) -> tuple[str, str]:
    """Code and sentence for an image whose contract held until that day."""
    return "rights_expired", f"the contract ran out on {last_day}"
