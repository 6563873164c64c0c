"""From a plain document to a taxonomy, or to every mistake in it. Reads no files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from crowd.taxonomy.defaults import DEFAULTS
from crowd.taxonomy.model import (
    Attribute,
    Definition,
    Faulted,
    Guidance,
    Part,
    Reason,
    Style,
    StyleGroup,
    Taxonomy,
    Unusable,
    Value,
)
from crowd.taxonomy.record import LONGEST_DEFINITION, Mistakes, Record

NAMED = frozenset({"key", "en", "ko"})
CODED = frozenset({"code", "en", "ko", "retired"})
DEFINITION = frozenset({"en", "ko", "ours"})
SPELLED = frozenset({"released", "nearest", "aliases", "retired"})
PART = NAMED | {"released", "released_order", "rect_no"}
VALUE = NAMED | SPELLED | {"parts"}
ATTRIBUTE = NAMED | {"released", "multiple", "parts", "values", "values_from"}
STYLE = NAMED | SPELLED | {"group", "percent", "guidance", "definition"}
GUIDANCE = frozenset({"categories", "items", "colors", "prints", "ours"})
REASON = CODED | {"stages"}
DOCUMENT = frozenset(
    {
        "name",
        "version",
        "parts",
        "attributes",
        "style_groups",
        "styles",
        "reasons",
        "unusable",
    }
)


class TaxonomyError(Exception):
    """A taxonomy that cannot be used; `errors` maps the path of each mistake to sentences about it."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__("\n".join(f"{path}: {text}" for path, texts in errors.items() for text in texts))


def parse_taxonomy(document: object) -> Taxonomy:
    """The taxonomy a plain document (of dicts, lists, text, numbers) describes.

    Reasons and unusable codes that it leaves out are the general ones. Raises TaxonomyError with every
    mistake at once.
    """
    mistakes = Mistakes()
    if isinstance(document, dict):
        document = {**DEFAULTS, **document}
    root = Record(document, "", DOCUMENT, mistakes)
    parts = _parts(root)
    part_keys = tuple(part.key for part in parts if part.key)
    groups = _style_groups(root)
    taxonomy = Taxonomy(
        name=root.text("name"),
        version=root.text("version"),
        parts=parts,
        attributes=_attributes(root, part_keys),
        style_groups=groups,
        styles=_styles(root, {group.key for group in groups}),
        reasons=_reasons(root),
        unusable=_unusable(root),
        canonical="",
    )
    if mistakes.errors:
        raise TaxonomyError(mistakes.errors)
    # Only now is the document known to hold nothing but what JSON can say.
    canonical = json.dumps(
        document,
        sort_keys=True,
        ensure_ascii=True,
        allow_nan=False,
        separators=(",", ":"),
    )
    return replace(taxonomy, canonical=canonical)


def _parts(root: Record) -> tuple[Part, ...]:
    records = [Record(item, path, PART, root.mistakes) for item, path in root.entries("parts", required=True)]
    parts = tuple(
        Part(
            key=record.key("key"),
            en=record.text("en"),
            ko=record.text("ko"),
            released=record.optional_text("released"),
            released_order=record.whole("released_order"),
            rect_no=record.whole("rect_no"),
        )
        for record in records
    )
    for name in ("key", "released", "released_order", "rect_no"):
        _note_repeats(records, name, [getattr(part, name) for part in parts])
    return parts


def _attributes(root: Record, part_keys: Sequence[str]) -> tuple[Attribute, ...]:
    records: list[Record] = []
    for item, path in root.entries("attributes", required=True):
        # A mistake deep in a long list is found faster by the attribute's name than by its number.
        key = item.get("key") if isinstance(item, dict) else None
        seen = {record.path for record in records}
        named = f"{root.at('attributes')}.{key}"
        usable = isinstance(key, str) and 0 < len(key) <= 64 and named not in seen
        records.append(Record(item, named if usable else path, ATTRIBUTE, root.mistakes))
    attributes = [_attribute(record, part_keys) for record in records]
    _note_repeats(records, "key", [attribute.key for attribute in attributes])
    _note_repeats(records, "released", [attribute.released for attribute in attributes])
    own = {attribute.key: attribute for attribute in attributes if attribute.values_from is None}
    shared = [
        _with_shared_values(attribute, own, record)
        for record, attribute in zip(records, attributes, strict=True)
    ]
    for record, attribute in zip(records, shared, strict=True):
        _note_parts_without_values(record, attribute)
    return tuple(shared)


def _attribute(record: Record, part_keys: Sequence[str]) -> Attribute:
    parts = _part_list(record, part_keys)
    values_from = record.optional_text("values_from")
    if values_from is not None and record.has("values"):
        record.note("values_from", "cannot stand beside values")
    return Attribute(
        key=record.key("key"),
        en=record.text("en"),
        ko=record.text("ko"),
        multiple=record.flag("multiple"),
        parts=parts,
        values=_values(record, parts, required=not record.has("values_from")),
        released=record.optional_text("released"),
        values_from=values_from,
    )


def _values(attribute: Record, parts: Sequence[str], *, required: bool) -> tuple[Value, ...]:
    entries = attribute.entries("values", required=required)
    records = [Record(item, path, VALUE, attribute.mistakes) for item, path in entries]
    values = tuple(
        Value(
            key=record.key("key"),
            en=record.text("en"),
            ko=record.text("ko"),
            parts=_part_list(record, parts),
            released=_released(record),
            nearest=record.optional_text("nearest"),
            aliases=record.texts("aliases"),
            retired=record.flag("retired"),
        )
        for record in records
    )
    _note_repeats(records, "key", [value.key for value in values])
    _note_lost_nearest(records, values)
    return values


def _part_list(record: Record, allowed: Sequence[str]) -> tuple[str, ...]:
    """The parts a record names (all that are allowed, when it names none), in the order of the allowed."""
    named = record.texts("parts")
    for part in named:
        if part not in allowed:
            record.note("parts", f"{part!r} is not among {', '.join(allowed) or 'the parts'}")
    return tuple(part for part in allowed if part in named) if named else tuple(allowed)


def _released(record: Record) -> str | None:
    """The spelling in released files: as written, else none beside `nearest`, else the Korean name."""
    if record.has("released"):
        written = record.optional_text("released")
        if written is not None and record.raw_text("nearest") is not None:
            record.note("nearest", "cannot stand beside a released spelling")
        return written
    return None if record.has("nearest") else record.raw_text("ko")


def _with_shared_values(attribute: Attribute, own: Mapping[str, Attribute], record: Record) -> Attribute:
    if attribute.values_from is None:
        return attribute
    source = own.get(attribute.values_from)
    if source is None:
        record.note(
            "values_from",
            f"names no attribute with values of its own: {attribute.values_from!r}",
        )
        return attribute
    narrowed = (
        replace(value, parts=tuple(part for part in value.parts if part in attribute.parts))
        for value in source.values
    )
    return replace(attribute, values=tuple(value for value in narrowed if value.parts))


def _styles(root: Record, groups: set[str]) -> tuple[Style, ...]:
    records = [
        Record(item, path, STYLE, root.mistakes) for item, path in root.entries("styles", required=True)
    ]
    styles = tuple(_style(record, groups) for record in records)
    _note_repeats(records, "key", [style.key for style in styles])
    _note_lost_nearest(records, styles)
    return styles


def _style(record: Record, groups: set[str]) -> Style:
    group = record.optional_text("group")
    if group is not None and group not in groups:
        record.note("group", f"is no style group: {group!r}")
    return Style(
        key=record.key("key"),
        en=record.text("en"),
        ko=record.text("ko"),
        group=group,
        percent=record.number("percent", 0, 100),
        released=_released(record),
        nearest=record.optional_text("nearest"),
        aliases=record.texts("aliases"),
        guidance=_guidance(record),
        definition=_definition(record),
        retired=record.flag("retired"),
    )


def _definition(style: Record) -> Definition | None:
    written = style.inner("definition", DEFINITION)
    if written is None:
        return None
    return Definition(
        en=written.text("en", LONGEST_DEFINITION),
        ko=written.text("ko", LONGEST_DEFINITION),
        ours=written.flag("ours"),
    )


def _guidance(style: Record) -> Guidance | None:
    written = style.inner("guidance", GUIDANCE)
    if written is None:
        return None
    return Guidance(
        categories=written.texts("categories"),
        items=written.texts("items"),
        colors=written.texts("colors"),
        prints=written.texts("prints"),
        ours=written.flag("ours"),
    )


def _style_groups(root: Record) -> tuple[StyleGroup, ...]:
    entries = root.entries("style_groups", required=False)
    records = [Record(item, path, NAMED, root.mistakes) for item, path in entries]
    groups = tuple(StyleGroup(record.key("key"), record.text("en"), record.text("ko")) for record in records)
    _note_repeats(records, "key", [group.key for group in groups])
    return groups


def _reasons(root: Record) -> tuple[Reason, ...]:
    entries = root.entries("reasons", required=True)
    records = [Record(item, path, REASON, root.mistakes) for item, path in entries]
    reasons = tuple(
        Reason(
            record.key("code"),
            record.text("en"),
            record.text("ko"),
            _stages(record),
            retired=record.flag("retired"),
        )
        for record in records
    )
    _note_repeats(records, "code", [reason.code for reason in reasons])
    return reasons


def _stages(record: Record) -> tuple[Faulted, ...]:
    named = record.texts("stages")
    for stage in named:
        if stage not in list(Faulted):
            record.note("stages", f"{stage!r} is not among {', '.join(Faulted)}")
    return tuple(stage for stage in Faulted if stage in named) if named else tuple(Faulted)


def _unusable(root: Record) -> tuple[Unusable, ...]:
    entries = root.entries("unusable", required=True)
    records = [Record(item, path, CODED, root.mistakes) for item, path in entries]
    unusable = tuple(
        Unusable(record.key("code"), record.text("en"), record.text("ko"), retired=record.flag("retired"))
        for record in records
    )
    _note_repeats(records, "code", [code.code for code in unusable])
    return unusable


def _note_repeats(records: Iterable[Record], name: str, written: Sequence[object]) -> None:
    seen: set[object] = set()
    for record, value in zip(records, written, strict=True):
        if value in seen:
            record.note(name, f"used twice: {value!r}")
        elif value not in (None, ""):
            seen.add(value)


def _note_lost_nearest(records: Iterable[Record], things: Iterable[Value | Style]) -> None:
    written = list(things)
    spelled = {thing.key for thing in written if thing.released is not None}
    for record, thing in zip(records, written, strict=True):
        if thing.nearest is not None and thing.nearest not in spelled:
            record.note(
                "nearest",
                f"names nothing with a released spelling of its own: {thing.nearest!r}",
            )


def _note_parts_without_values(record: Record, attribute: Attribute) -> None:
    if not attribute.values:
        return
    for part in attribute.parts:
        if not attribute.offered_for(part):
            record.note("parts", f"no value applies to {part!r}")
