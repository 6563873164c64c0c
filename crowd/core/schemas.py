"""What every JSON body and query has in common: strict schemas, moments, and keyset paging."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self, TypedDict, TypeVar

import marshmallow as ma
from marshmallow import fields, validate

from crowd.core.clock import rfc3339

R = TypeVar("R")

# What a bigint column holds; SQLite's driver refuses more with an exception of its own.
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1

_FITS = validate.Range(LEAST_INTEGER, MOST_INTEGER)

BODY = "body"

DEFAULT_LIMIT, MOST_LIMIT = 50, 200


class Schema(ma.Schema):
    """The base of every schema: unknown fields are refused, whole numbers fit into 64 bits."""

    class Meta:  # noqa: D106
        unknown = ma.RAISE

    def __deepcopy__(self, memo: object) -> Self:
        # Nobody changes a schema once it is made, and the description of each operation would copy its own.
        return self

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Give every whole number the bounds of the database's."""
        if isinstance(field_obj, fields.Integer):
            # A new list: the bound field is a copy that shares its validators with every other copy.
            field_obj.validators = [*field_obj.validators, _FITS]


class Moment(fields.AwareDateTime):
    """A moment: RFC 3339 in UTC on the wire, an aware datetime in Python."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="iso", default_timezone=UTC, **options)

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else rfc3339(value)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        moment: datetime = super()._deserialize(value, attr, data, **kwargs)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            # The first hours of the year 1 east of Greenwich, and the last of 9999 west of it.
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Text(fields.String):
    """What somebody wrote, without the blanks around it: what is required is not of blanks alone."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        return text.strip()


def said(most: int, **options: Any) -> Text:
    """A text of people's that has to be there, with at most `most` characters: mostly why they do something.

    Its length is looked at without the blanks around it.
    """
    described = {"pattern": r"\S", **options.pop("metadata", {})}
    return Text(required=True, validate=validate.Length(1, most), metadata=described, **options)


def remark(most: int, **options: Any) -> Text:
    """A text of people's that may be left out, with at most `most` characters; blanks alone are none."""
    return Text(load_default="", validate=validate.Length(max=most), **options)


class Cursor(fields.Field[Any]):
    """An opaque place in a list: the key of the last row seen, of the given JSON types.

    Deserialises to the key itself, a tuple if it has several parts.
    """

    def __init__(self, *kinds: type, **options: Any) -> None:
        super().__init__(error_messages={"invalid": "Not a cursor of this list."}, **options)
        self.kinds = kinds or (int,)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        try:
            padded = value + "=" * (-len(value) % 4)
            parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (TypeError, ValueError, binascii.Error, RecursionError):
            raise self.make_error("invalid") from None
        if not isinstance(parts, list) or len(parts) != len(self.kinds):
            raise self.make_error("invalid")
        if not all(_fits(part, kind) for part, kind in zip(parts, self.kinds, strict=True)):
            raise self.make_error("invalid")
        return parts[0] if len(parts) == 1 else tuple(parts)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else cursor_of(value)


class PageArgs(Schema):
    """The query of a list: where to go on, and how many at most."""

    cursor = Cursor(
        int, load_default=None, metadata={"type": "string", "description": "The last answer's next_cursor."}
    )
    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MOST_LIMIT))


class Page(TypedDict):
    """One page of a list; `next_cursor` is None on the last one."""

    items: list[Any]
    next_cursor: str | None


def page(rows: Sequence[R], limit: int, key: Callable[[R], Any]) -> Page:
    """The page of `rows`, which the caller read with LIMIT `limit` + 1 in the order of `key`."""
    items = list(rows[:limit])
    more = len(rows) > limit
    return {"items": items, "next_cursor": cursor_of(key(items[-1])) if more else None}


def cursor_of(key: Any) -> str:
    """The opaque text of a key (one JSON value, or a tuple of them)."""
    parts = list(key) if isinstance(key, tuple) else [key]
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@cache
def paged(item: type[ma.Schema]) -> type[ma.Schema]:
    """The schema of a page of `item`."""
    name = item.__name__.removesuffix("Schema") + "Page"
    parts: dict[str, Any] = {
        "items": fields.List(fields.Nested(item)),
        "next_cursor": fields.String(allow_none=True),
    }
    return Schema.from_dict(parts, name=name)


def _fits(part: object, kind: type) -> bool:
    if type(part) is not kind:
        return False
    if isinstance(part, str):
        return "\0" not in part and part.isprintable()
    return not isinstance(part, int) or LEAST_INTEGER <= part <= MOST_INTEGER


def flat(messages: Any, path: str = "", *, whole: str = BODY) -> dict[str, list[str]]:
    """Marshmallow's nested messages as `{"regions.r1.box": [text]}`; `whole` stands for the object itself."""
    found: dict[str, list[str]] = {}
    for place, text in _walk(messages, path):
        found.setdefault(place or whole, []).append(text)
    return found


def _walk(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            step = "" if key == "_schema" else str(key)
            yield from _walk(inner, ".".join(part for part in (path, step) if part))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _walk(inner, path)
    else:
        yield path, str(messages)
