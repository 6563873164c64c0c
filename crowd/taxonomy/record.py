"""Reading plain data field by field, noting every mistake under its path instead of stopping at the first."""

import difflib
import re
import unicodedata
from collections.abc import Iterator

KEY = re.compile(r"[a-z0-9][a-z0-9/_+-]{0,63}")
LONGEST_TEXT = 200
LONGEST_DEFINITION = 600


class Mistakes:
    """What was found wrong so far: path -> sentences."""

    def __init__(self) -> None:
        self.errors: dict[str, list[str]] = {}

    def add(self, path: str, text: str) -> None:
        """Notes one mistake."""
        self.errors.setdefault(path, []).append(text)


class Record:
    """One mapping of a document. Every reader returns a value of its type, mistaken or not.

    A `value` that is no mapping is noted once and then reads as if nothing more were wrong with it.
    """

    def __init__(self, value: object, path: str, known: frozenset[str], mistakes: Mistakes) -> None:
        self.path = path
        self.mistakes = mistakes
        self._data: dict[object, object] | None = value if isinstance(value, dict) else None
        if self._data is None:
            mistakes.add(path or "document", f"must be a mapping, not {kind(value)}")
            return
        for name in self._data:
            if name not in known:
                self.note(_shown(name), "unknown field" + _suggestion(name, known))

    def at(self, name: str) -> str:
        """The path of one of its fields."""
        return f"{self.path}.{name}" if self.path else name

    def note(self, name: str, text: str) -> None:
        """Notes a mistake in one of its fields."""
        self.mistakes.add(self.at(name), text)

    def has(self, name: str) -> bool:
        """Whether the field is written at all, even as null."""
        return self._data is not None and name in self._data

    def text(self, name: str, longest: int = LONGEST_TEXT) -> str:
        """A required line of text; empty when mistaken."""
        if self._data is None:
            return ""
        if name not in self._data or self._data[name] is None:
            self.note(name, "is missing")
            return ""
        return self._checked_text(self.at(name), self._data[name], longest) or ""

    def optional_text(self, name: str) -> str | None:
        """A line of text or None."""
        value = self._get(name)
        return None if value is None else self._checked_text(self.at(name), value)

    def raw_text(self, name: str) -> str | None:
        """The field if it is text; says nothing of mistakes, for fields that are checked elsewhere."""
        value = self._get(name)
        return value if isinstance(value, str) else None

    def key(self, name: str) -> str:
        """A required key: short, lower case, without spaces or dots."""
        text = self.text(name)
        if text and not KEY.fullmatch(text):
            self.note(name, "must be lower-case letters, digits and - _ / +, at most 64")
        return text

    def flag(self, name: str) -> bool:
        """True or false; false when absent."""
        value = self._get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.note(name, f"must be true or false, not {kind(value)}")
        return False

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds, or None."""
        value = self._get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(name, f"must be a number, not {kind(value)}")
            return None
        if not least <= value <= most:
            self.note(name, f"must be between {least:g} and {most:g}")
            return None
        return value

    def whole(self, name: str) -> int | None:
        """A whole number from 1 to 1000, or None."""
        value = self.number(name, 1, 1000)
        if value is None or isinstance(value, int):
            return value
        self.note(name, "must be a whole number")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of distinct lines of text; empty when absent. Written, it may not be empty."""
        checked = []
        for index, item in enumerate(self._list(name)):
            path = f"{self.at(name)}[{index}]"
            text = self._checked_text(path, item)
            if text in checked:
                self.mistakes.add(path, "used twice")
            elif text:
                checked.append(text)
        return tuple(checked)

    def entries(self, name: str, *, required: bool) -> Iterator[tuple[object, str]]:
        """The items of a list with their paths (`name[0]` ...)."""
        if required and self._data is not None and self._get(name) is None:
            self.note(name, "is missing")
        for index, item in enumerate(self._list(name)):
            yield item, f"{self.at(name)}[{index}]"

    def inner(self, name: str, known: frozenset[str]) -> "Record | None":
        """The mapping in this field, or None."""
        value = self._get(name)
        return None if value is None else Record(value, self.at(name), known, self.mistakes)

    def _get(self, name: str) -> object:
        return None if self._data is None else self._data.get(name)

    def _list(self, name: str) -> list[object]:
        value = self._get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.note(name, f"must be a list, not {kind(value)}")
            return []
        if not value:
            self.note(name, "must not be empty")
        return value

    def _checked_text(self, path: str, value: object, longest: int = LONGEST_TEXT) -> str | None:
        fault = _fault_of_text(value, longest)
        if fault is None:
            return str(value)
        self.mistakes.add(path, fault)
        return None


def kind(value: object) -> str:
    """How a sentence calls this sort of plain value."""
    if value is None:
        return "null"
    names = {
        bool: "true or false",
        dict: "a mapping",
        list: "a list",
        str: "text",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def _fault_of_text(value: object, longest: int) -> str | None:
    if not isinstance(value, str):
        hint = " (put it in quotes)" if isinstance(value, int | float) else ""
        return f"must be text, not {kind(value)}{hint}"
    if not value.strip():
        return "must not be empty"
    if len(value) > longest:
        return f"must not be longer than {longest} characters"
    # PostgreSQL keeps neither NUL nor half a surrogate pair, and a line break spoils tables.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        return "must be one line without control characters"
    if value != value.strip():
        return "must not begin or end with a space"
    return None


def _shown(name: object) -> str:
    return name[:64] if isinstance(name, str) else kind(name)


def _suggestion(name: object, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(name[:64], sorted(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {close[0]}?)" if close else ""
