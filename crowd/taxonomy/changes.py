"""What differs between two versions of a taxonomy, and what of the earlier one the later could not read.

Labels are kept for good, each as it was given. So that every later version can name what they hold, a code
that was published stays: it may be retired, and everything said about it may change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from crowd.taxonomy.model import Attribute, Part, Reason, Style, Taxonomy, Unusable, Value

Entry: TypeAlias = Part | Value | Style | Reason | Unusable | Attribute

_NAMES = ("key", "code")


class Turn(StrEnum):
    """What became of one thing."""

    ADDED = "added"
    REMOVED = "removed"
    RETIRED = "retired"
    RESTORED = "restored"
    CHANGED = "changed"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `styles.street.ko` was `before` and is `after`.

    Of entries that were added or removed the path is theirs, and they stand as plain data on one side. An
    order is told as the keys before and after.
    """

    path: str
    turn: Turn
    before: Any = None
    after: Any = None


def compare(before: Taxonomy, after: Taxonomy) -> list[Change]:
    """Every difference of two versions, in the order of the later one's fields."""
    return list(_mappings("", before.document, after.document))


def _mappings(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*after, *before)):
        yield from _fields(f"{path}.{name}" if path else name, before.get(name), after.get(name))


def _fields(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if path.endswith(".retired"):
        if bool(before) != bool(after):
            yield Change(path.removesuffix(".retired"), Turn.RETIRED if after else Turn.RESTORED)
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _mappings(path, before, after)
    elif _is_listing(before) and _is_listing(after):
        yield from _listings(path, _by_name(before), _by_name(after))
    else:
        yield Change(path, Turn.CHANGED, before, after)


def _listings(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, entry in after.items():
        if name in before:
            yield from _mappings(f"{path}.{name}", before[name], entry)
        else:
            yield Change(f"{path}.{name}", Turn.ADDED, after=entry)
    yield from (
        Change(f"{path}.{name}", Turn.REMOVED, before=entry)
        for name, entry in before.items()
        if name not in after
    )
    kept = [name for name in before if name in after]
    order = [name for name in after if name in before]
    if kept != order:
        yield Change(path, Turn.ORDERED, kept, order)


def _is_listing(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _by_name(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {next(entry[name] for name in _NAMES if name in entry): entry for entry in entries}


def lost(before: Taxonomy, after: Taxonomy) -> dict[str, list[str]]:
    """What labels given under `before` may hold and `after` could not read: sentences by path.

    Empty means: each of them is as sound under `after`, and is still exported.
    """
    return dict(_lost(before, after))


def _lost(before: Taxonomy, after: Taxonomy) -> Iterator[tuple[str, list[str]]]:
    yield from _gone("parts", before.parts, after.parts)
    yield from _gone("attributes", before.attributes, after.attributes)
    for attribute in before.attributes:
        now = after.attribute(attribute.key)
        if now is not None:
            yield from _answers_lost(f"attributes.{attribute.key}", attribute, now)
    yield from _gone("styles", before.styles, after.styles)
    yield from _gone("reasons", before.reasons, after.reasons)
    yield from _gone("unusable", before.unusable, after.unusable)


def _answers_lost(path: str, before: Attribute, after: Attribute) -> Iterator[tuple[str, list[str]]]:
    if before.multiple != after.multiple:
        many = "several values" if before.multiple else "one value"
        yield f"{path}.multiple", [f"labels hold {many} here; make a new attribute instead"]
    yield from _narrowed(path, before, after)
    if before.values_from is not None and before.values_from == after.values_from:
        return
    yield from _gone(f"{path}.values", before.values, after.values)
    for value in before.values:
        now = after.value(value.key)
        if now is not None:
            yield from _narrowed(f"{path}.values.{value.key}", value, now)


def _gone(path: str, before: Sequence[Entry], after: Sequence[Entry]) -> Iterator[tuple[str, list[str]]]:
    kept = {_name(entry) for entry in after}
    known = {_name(entry) for entry in before}
    fresh = [entry for entry in after if _name(entry) not in known]
    for entry in before:
        if _name(entry) in kept:
            continue
        text = "a code that was published stays"
        if isinstance(entry, Value | Style | Reason | Unusable):
            text += "; to have it chosen no more, give it `retired: true`"
        twin = next((each for each in fresh if entry.en == each.en or entry.ko == each.ko), None)
        if twin is not None:
            text += f" ({_name(twin)} bears its name: a code is not changed, names may be)"
        yield f"{path}.{_name(entry)}", [text]


def _narrowed(
    path: str, before: Attribute | Value, after: Attribute | Value
) -> Iterator[tuple[str, list[str]]]:
    missing = [part for part in before.parts if part not in after.parts]
    if missing:
        yield f"{path}.parts", [f"labels may hold it for {', '.join(missing)}"]


def _name(entry: Entry) -> str:
    return entry.code if isinstance(entry, Reason | Unusable) else entry.key
