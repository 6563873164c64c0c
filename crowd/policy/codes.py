"""What may be said of a person's answers. PURE."""

from enum import StrEnum


class FlagCode(StrEnum):
    """What a flag says of a person's answers. New ones are added at the end."""

    BLANKET = "blanket"
    TOO_FAST = "too_fast"
    COPIED = "copied"
    TAKEN_OVER = "taken_over"
    UNRELIABLE_REVIEWER = "unreliable_reviewer"
    LENIENT_REVIEWER = "lenient_reviewer"
    SEVERE_REVIEWER = "severe_reviewer"
    RUBBER_STAMP = "rubber_stamp"
    FAILED_GOLD = "failed_gold"
    DRIFT = "drift"
