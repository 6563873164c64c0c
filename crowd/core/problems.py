"""Every failure as application/problem+json: our own refusals, the framework's, the database's."""

import math
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, json
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from crowd.core.errors import Conflict, FieldErrors, Problem, Unavailable, Unprocessable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2
CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}
AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


def register_problems(app: Flask) -> None:
    """Answer every exception that leaves a view with problem+json."""
    app.register_error_handler(Exception, answer)


def answer(error: Exception) -> AnyResponse:
    """The response to `error`; what nobody foresaw is logged, and told without its inside."""
    if isinstance(error, HTTPException):
        return _of_framework(error)
    problem = error if isinstance(error, Problem) else of_database(error)
    if problem is not None:
        return problem_response(problem)
    log.error("unexpected_error", exc_info=error)
    return _response(500, "internal", "Something went wrong here; it has been written down.")


def problem_response(problem: Problem) -> Response:
    """`problem` on the wire."""
    response = _response(problem.status, problem.code, problem.detail, problem.errors)
    response.headers.update(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", 'Bearer realm="crowd"')
    return response


def invalid(errors: FieldErrors) -> Unprocessable:
    """A 422 whose sentence names the first of `errors`."""
    path, texts = next(iter(errors.items()))
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Unprocessable("invalid", f"{path}: {texts[0]}{others}", errors=errors)


def retry_after(seconds: float) -> dict[str, str]:
    """A `Retry-After` header of at least one whole second."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _of_framework(error: HTTPException) -> AnyResponse:
    # A redirect is an exception too, and a ready response speaks for itself.
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    status = HTTPStatus(error.code)
    response = _response(
        error.code, CODES.get(error.code) or status.name.lower(), error.description or status.phrase
    )
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers.set(name, value)
    return response


def of_database(error: Exception) -> Problem | None:
    """What the caller can do about a failure of the database; None if nothing."""
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, AWAY):
        log.warning("database_away", error=str(getattr(error, "orig", None) or error))
        return Unavailable(
            "database_away",
            "The database is away for the moment; come back shortly.",
            headers=retry_after(RETRY_SECONDS),
        )
    if isinstance(error, exc.IntegrityError):
        # Usually two requests that raced; logged, because it may be a mistake of ours.
        log.warning("integrity_conflict", error=str(error.orig))
        return Conflict("conflict", "Somebody else changed this at the same moment; look again.")
    if isinstance(error, exc.DataError):
        log.warning("data_refused", error=str(error.orig))
        return Unprocessable("invalid", "A value does not fit into the database.")
    return None


def _response(status: int, code: str, detail: str, errors: FieldErrors | None = None) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status=status, mimetype="application/problem+json")
