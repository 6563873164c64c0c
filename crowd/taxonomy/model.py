"""A taxonomy as values: parts, attributes, their values, styles, reasons. Knows no file and no image."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any


class Faulted(StrEnum):
    """A stage whose work a reason can find fault with."""

    SEGMENTATION = "segmentation"
    ATTRIBUTES = "attributes"
    STYLES = "styles"
    FIRST_REVIEW = "first_review"


class Match(StrEnum):
    """How well released K-Fashion files can say what was chosen."""

    EXACT = "exact"
    NEAREST = "nearest"
    OMITTED = "omitted"


@dataclass(frozen=True, slots=True)
class Released:
    """What is written to K-Fashion JSON for a choice; `ko` is None exactly when it is omitted."""

    ko: str | None
    how: Match


OMITTED = Released(None, Match.OMITTED)


@dataclass(frozen=True, slots=True)
class Part:
    """A kind of region people outline; `released*` and `rect_no` are its K-Fashion name and numbers."""

    key: str
    en: str
    ko: str
    released: str | None = None
    released_order: int | None = None
    rect_no: int | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """One choice of an attribute.

    `parts` are those it can be chosen for; `released` is its spelling in released files, None where they
    lack it; then `nearest` may name a value of the same attribute that they have. `retired`: labels may
    hold it, but nobody chooses it any more.
    """

    key: str
    en: str
    ko: str
    parts: tuple[str, ...]
    released: str | None = None
    nearest: str | None = None
    aliases: tuple[str, ...] = ()
    retired: bool = False

    def is_spelled(self, text: str) -> bool:
        """Whether `text` is a name of this value in Korean, here or in released files."""
        return text in (self.released, self.ko, *self.aliases)


@dataclass(frozen=True)
class Attribute:
    """A question asked of every region of its parts; `released` is its K-Fashion JSON key, if it has one."""

    key: str
    en: str
    ko: str
    multiple: bool
    parts: tuple[str, ...]
    values: tuple[Value, ...]
    released: str | None = None
    values_from: str | None = None

    def applies_to(self, part_key: str) -> bool:
        """Whether regions of this part are asked at all."""
        return part_key in self.parts

    def values_for(self, part_key: str) -> tuple[Value, ...]:
        """What a region of this part may hold, in the file's order; none where it is not asked."""
        if not self.applies_to(part_key):
            return ()
        return tuple(value for value in self.values if part_key in value.parts)

    def offered_for(self, part_key: str) -> tuple[Value, ...]:
        """The choices for a region of this part: what it may hold, less what is retired."""
        return tuple(value for value in self.values_for(part_key) if not value.retired)

    def value(self, key: str) -> Value | None:
        """The value of that key, whatever its parts."""
        return self._by_key.get(key)

    def spelled(self, text: str, part_key: str) -> Value | None:
        """The value a K-Fashion file means by `text` on this part, aliases and misspellings included."""
        return next(
            (value for value in self.values_for(part_key) if value.is_spelled(text)),
            None,
        )

    @cached_property
    def _by_key(self) -> dict[str, Value]:
        return {value.key: value for value in self.values}


@dataclass(frozen=True, slots=True)
class Guidance:
    """What is typical of a style, in Korean; each list may be empty. `ours`: the source has nothing."""

    categories: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What makes a style, in a few sentences of both languages. `ours`: the source has none."""

    en: str
    ko: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class StyleGroup:
    """A family of styles."""

    key: str
    en: str
    ko: str


@dataclass(frozen=True, slots=True)
class Style:
    """A style of a whole image; `percent` is the share of images (0 to 100) that is aimed for."""

    key: str
    en: str
    ko: str
    group: str | None = None
    percent: float | None = None
    released: str | None = None
    nearest: str | None = None
    aliases: tuple[str, ...] = ()
    guidance: Guidance | None = None
    definition: Definition | None = None
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why work is sent back, and the stages whose work it can concern."""

    code: str
    en: str
    ko: str
    stages: tuple[Faulted, ...]
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why an image cannot be labelled."""

    code: str
    en: str
    ko: str
    retired: bool = False


@dataclass(frozen=True)
class Taxonomy:
    """Everything people may choose from, in one version. Made by `parse_taxonomy`; never changed."""

    name: str
    version: str
    parts: tuple[Part, ...]
    attributes: tuple[Attribute, ...]
    style_groups: tuple[StyleGroup, ...]
    styles: tuple[Style, ...]
    reasons: tuple[Reason, ...]
    unusable: tuple[Unusable, ...]
    canonical: str = field(repr=False, compare=False)

    @property
    def document(self) -> dict[str, Any]:
        """A fresh copy of the plain document behind it; `parse_taxonomy` reads an equal taxonomy from it."""
        document: dict[str, Any] = json.loads(self.canonical)
        return document

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the document's canonical JSON: equal for files that say the same."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def part(self, key: str) -> Part | None:
        """The part of that key."""
        return self._parts.get(key)

    def attribute(self, key: str) -> Attribute | None:
        """The attribute of that key."""
        return self._attributes.get(key)

    def style(self, key: str) -> Style | None:
        """The style of that key."""
        return self._styles.get(key)

    def attributes_for(self, part_key: str) -> tuple[Attribute, ...]:
        """The attributes asked of a region of this part."""
        return tuple(attribute for attribute in self.attributes if attribute.applies_to(part_key))

    def has_part(self, key: str) -> bool:
        """Whether there is such a part."""
        return key in self._parts

    def has_style(self, key: str) -> bool:
        """Whether there is such a style, retired or not."""
        return key in self._styles

    def offers_style(self, key: str) -> bool:
        """Whether people may choose such a style."""
        style = self.style(key)
        return style is not None and not style.retired

    def has_reason(self, code: str) -> bool:
        """Whether people may give such a reject reason; not one that is retired."""
        return any(reason.code == code and not reason.retired for reason in self.reasons)

    def has_unusable(self, code: str) -> bool:
        """Whether people may call an image unusable by such a code; not one that is retired."""
        return any(unusable.code == code and not unusable.retired for unusable in self.unusable)

    @property
    def speaks_kfashion(self) -> bool:
        """Whether every part has its name in K-Fashion JSON, without which such an export makes no sense."""
        return all(part.released for part in self.parts)

    def released_parts(self) -> tuple[Part, ...]:
        """The parts K-Fashion JSON knows, in the order they take there."""
        known = [part for part in self.parts if part.released]
        return tuple(sorted(known, key=lambda part: part.released_order or 0))

    def released_value(self, attribute_key: str, part_key: str, value_key: str) -> Released:
        """What K-Fashion JSON says for a value on a part.

        Omitted is whatever it cannot say, a key unknown here included (a release may hold labels of an
        older version). Two values may come out as the same word: drop repeats in lists.
        """
        asked = attribute_key, part_key, value_key
        found = self._said.get(asked)
        if found is None:
            found = self._said[asked] = self._say(*asked)
        return found

    def _say(self, attribute_key: str, part_key: str, value_key: str) -> Released:
        attribute = self.attribute(attribute_key)
        if attribute is None or attribute.released is None:
            return OMITTED
        offered = {value.key: value for value in attribute.values_for(part_key)}
        return _released(offered, value_key)

    def released_style(self, key: str) -> Released:
        """What K-Fashion JSON says for a style; omitted as for values."""
        return _released(self._styles, key)

    def public(self) -> dict[str, Any]:
        """The body of GET /taxonomy: plain data with every default filled in, fresh at each call."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "parts": [_named(part) for part in self.parts],
            "attributes": [self._public_attribute(attribute) for attribute in self.attributes],
            "style_groups": [_named(group) for group in self.style_groups],
            "styles": [_public_style(style) for style in self.styles],
            "reasons": [
                {**_coded(reason), "stages": list(reason.stages), **_retired(reason)}
                for reason in self.reasons
            ],
            "unusable": [{**_coded(unusable), **_retired(unusable)} for unusable in self.unusable],
        }

    def _public_attribute(self, attribute: Attribute) -> dict[str, Any]:
        by_part = {part: [value.key for value in attribute.offered_for(part)] for part in attribute.parts}
        return {
            **_named(attribute),
            "multiple": attribute.multiple,
            "parts": list(attribute.parts),
            "values": [
                {**_named(value), "parts": list(value.parts), **_retired(value)} for value in attribute.values
            ],
            "values_by_part": by_part,
        }

    @property
    def style_shares(self) -> dict[str, float]:
        """The share of images (percent) that is aimed for, by style; styles without one miss."""
        return {style.key: style.percent for style in self.styles if style.percent}

    @cached_property
    def _said(self) -> dict[tuple[str, str, str], Released]:
        """What `released_value` has answered: an export asks the same few questions a million times."""
        return {}

    @cached_property
    def _parts(self) -> dict[str, Part]:
        return {part.key: part for part in self.parts}

    @cached_property
    def _attributes(self) -> dict[str, Attribute]:
        return {attribute.key: attribute for attribute in self.attributes}

    @cached_property
    def _styles(self) -> dict[str, Style]:
        return {style.key: style for style in self.styles}


def _released(offered: dict[str, Value] | dict[str, Style], key: str) -> Released:
    chosen = offered.get(key)
    if chosen is None:
        return OMITTED
    if chosen.released is not None:
        return Released(chosen.released, Match.EXACT)
    stand_in = offered.get(chosen.nearest) if chosen.nearest is not None else None
    return OMITTED if stand_in is None else Released(stand_in.released, Match.NEAREST)


def _named(thing: Part | Attribute | Value | Style | StyleGroup) -> dict[str, Any]:
    return {"key": thing.key, "en": thing.en, "ko": thing.ko}


def _coded(thing: Reason | Unusable) -> dict[str, Any]:
    return {"code": thing.code, "en": thing.en, "ko": thing.ko}


def _retired(thing: Value | Style | Reason | Unusable) -> dict[str, Any]:
    return {"retired": True} if thing.retired else {}


def _public_style(style: Style) -> dict[str, Any]:
    guidance = style.guidance or Guidance()
    definition = style.definition
    return {
        **_named(style),
        **_retired(style),
        "definition": (
            {"en": definition.en, "ko": definition.ko, "ours": definition.ours} if definition else None
        ),
        "group": style.group,
        "percent": style.percent,
        "guidance": {
            "categories": list(guidance.categories),
            "items": list(guidance.items),
            "colors": list(guidance.colors),
            "prints": list(guidance.prints),
            "ours": guidance.ours,
        },
    }
