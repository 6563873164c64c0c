"""Problems a caller can do something about, and how they look on the wire (RFC 9457)."""

from collections.abc import Mapping
from typing import TypeAlias

FieldErrors: TypeAlias = Mapping[str, list[str]]


class Problem(Exception):
    """An expected refusal: an HTTP status, a stable `code`, a sentence, and the fields at fault.

    The command line prints the sentence and exits with 2; the API answers problem+json.
    """

    status = 400

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: FieldErrors | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = dict(errors) if errors else None
        self.headers = dict(headers or {})


class Forbidden(Problem):
    """The caller is known and may not do this."""

    status = 403


class Unauthorized(Problem):
    """The caller is not known."""

    status = 401


class NotFound(Problem):
    """There is no such thing, or none the caller may know of."""

    status = 404


class Conflict(Problem):
    """The request was fine, but the state of things is another by now."""

    status = 409


class TooLarge(Problem):
    """More bytes than are taken."""

    status = 413


class Unprocessable(Problem):
    """Well-formed, but one or more fields do not hold; `errors` names each."""

    status = 422


class TooMany(Problem):
    """Too many requests; `Retry-After` says when to come back."""

    status = 429


class Unavailable(Problem):
    """A part the request needs (mostly the database) is away for the moment."""

    status = 503


def field_error(path: str, text: str, *, code: str = "invalid") -> Unprocessable:
    """A 422 about one field."""
    return Unprocessable(code, f"{path}: {text}", errors={path: [text]})
