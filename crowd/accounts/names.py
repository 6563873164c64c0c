"""Which user names and passwords are taken: PURE rules."""

import re
import unicodedata

LONGEST_NAME = 64
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128

_PUNCTUATION = frozenset("._-@")
_RESERVED = re.compile(r"erased-[0-9]+")


def normalise(username: str) -> str:
    """The form in which a name is kept and looked for: Unicode NFC, case as given."""
    return unicodedata.normalize("NFC", username)


def name_fault(username: str) -> str | None:
    """What is wrong with a (normalised) user name, or None."""
    if not 1 <= len(username) <= LONGEST_NAME:
        return f"Must have 1 to {LONGEST_NAME} characters."
    if not all(_is_allowed(char) for char in username):
        return "May hold letters, digits and . _ - @ only."
    if _RESERVED.fullmatch(username):
        return "Is reserved for erased people."
    return None


def password_fault(password: str) -> str | None:
    """What is wrong with a new password, or None."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"Must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
    return None


def pseudonym(worker_id: int) -> str:
    """The name of an erased person."""
    return f"erased-{worker_id}"


def _is_allowed(char: str) -> bool:
    # Marks belong to the letters of many scripts.
    category = unicodedata.category(char)
    return char in _PUNCTUATION or category[0] in "LM" or category == "Nd"
