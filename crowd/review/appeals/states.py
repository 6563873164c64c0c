"""Where an appeal stands, in words."""

from enum import StrEnum


class AppealState(StrEnum):
    """Open until somebody uninvolved has judged again; then upheld or dismissed for good."""

    OPEN = "open"
    UPHELD = "upheld"
    DISMISSED = "dismissed"
