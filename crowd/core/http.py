"""How requests come in and answers go out: JSON bodies, blueprints, the API's description, headers."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast

import flask_smorest
import marshmallow as ma
from flask import Blueprint as FlaskBlueprint
from flask import Flask, Request, Response, current_app, render_template, request
from marshmallow import fields
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.routing import IntegerConverter, ValidationError

from crowd.core.config import Settings
from crowd.core.errors import Problem, TooLarge
from crowd.core.problems import invalid, problem_response, register_problems, retry_after
from crowd.core.schemas import (
    BODY,
    LEAST_INTEGER,
    MOST_INTEGER,
    Cursor,
    Moment,
    Page,
    PageArgs,
    Schema,
    Text,
    cursor_of,
    flat,
    page,
    paged,
    remark,
    said,
)

__all__ = [
    "Api",
    "Blueprint",
    "Cursor",
    "Moment",
    "Page",
    "PageArgs",
    "Schema",
    "Text",
    "UnsupportedMedia",
    "cursor_of",
    "install_http",
    "invalid",
    "page",
    "paged",
    "problem_response",
    "remark",
    "retry_after",
    "said",
]

F = TypeVar("F", bound=Callable[..., Any])

PREFIX = "/api/v1"
MOST_JSON_BYTES = 2 * 1024 * 1024
MOST_DEPTH = 40
# Configuration: scheme and host that images are fetched from, where that is not ourselves.
IMAGE_ORIGIN = "CROWD_IMAGE_ORIGIN"
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


class UnsupportedMedia(Problem):
    """The body is of a kind that is not understood here."""

    status = 415


class BodyParser(FlaskParser):
    """Reads JSON bodies strictly, and names every value that no column could keep."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """The body's document; `missing` if there is no body at all."""
        data = req.get_data(cache=True)
        # Of a chunked body without end the framework silently hands over the part within the limit.
        if len(data) >= MOST_JSON_BYTES:
            raise TooLarge("too_large", f"A JSON body has less than {MOST_JSON_BYTES} bytes.")
        if not data:
            return missing
        if not req.is_json:
            raise UnsupportedMedia("unsupported_media_type", "Send the body as application/json.")
        document = parse_json(data)
        if errors := unkeepable(document):
            raise invalid(errors)
        return document

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """The query, without characters that no column could keep."""
        if errors := unkeepable(req.args.to_dict(flat=False)):
            raise invalid(errors)
        return super().load_querystring(req, schema)

    def load_form(self, req: Request, schema: ma.Schema) -> Any:
        """The form's fields, without characters that no column could keep."""
        if errors := unkeepable(req.form.to_dict(flat=False)):
            raise invalid(errors)
        return super().load_form(req, schema)

    def handle_error(
        self,
        error: ma.ValidationError,
        req: Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Any,
    ) -> NoReturn:
        """A 422 with flat paths, whatever part of the request was at fault."""
        messages = error.messages
        places = messages.values() if isinstance(messages, dict) else [messages]
        raise invalid({path: texts for place in places for path, texts in flat(place).items()})


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A room's part of the API. Decorate in this order: route, who may, arguments, response."""

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, name: str, import_name: str, *, description: str = "", **options: Any) -> None:
        super().__init__(name, import_name, url_prefix=PREFIX, description=description, **options)

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Serve the view at PREFIX + `rule` and describe it."""
        return cast(Callable[[F], F], super().route(rule, **options))

    def arguments(
        self, schema: type[ma.Schema] | ma.Schema, *, location: str = "json", **options: Any
    ) -> Callable[[F], F]:
        """Hand the view what `schema` makes of the body (or query, form, files) as its first argument."""
        # Handed over as a class it would be made anew for each request.
        ready = schema() if isinstance(schema, type) else schema
        return cast(Callable[[F], F], super().arguments(ready, location=location, **options))

    def response(
        self, status_code: int, schema: type[ma.Schema] | ma.Schema | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Answer with `status_code` and what `schema` makes of the returned value."""
        return cast(Callable[[F], F], super().response(status_code, schema, **options))

    def alt_response(self, status_code: int, response: str | None = None, **options: Any) -> Callable[[F], F]:
        """Describe another answer of the view."""
        return cast(Callable[[F], F], super().alt_response(status_code, response, **options))

    def _prepare_arguments_doc(self, doc: Any, doc_info: Any, **options: Any) -> Any:
        # Described one by one, the fields beside a file would be `formData`, which OpenAPI 3 does not know.
        if operation := doc_info.get("arguments"):
            operation["parameters"] = _one_form(operation["parameters"])
        return super()._prepare_arguments_doc(doc, doc_info, **options)

    @staticmethod
    def doc(**described: Any) -> Callable[[F], F]:
        """Describe the view further; the words are OpenAPI's."""
        return cast(Callable[[F], F], flask_smorest.Blueprint.doc(**described))


class ProblemSchema(ma.Schema):
    """A refusal (RFC 9457)."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "Stable; programs go by it."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong, by the path of the field."},
    )


class Api(flask_smorest.Api):  # type: ignore[misc]
    """The API's description at `/api/v1/openapi.json`, with problem+json for every failure.

    It is written when it is first asked for: a web process that is asked for none starts in half the time.
    """

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask) -> None:
        self._undescribed: list[Callable[[Any], None]] = []
        # Two requests at once may be the first to ask.
        self._describing = threading.RLock()
        super().__init__(app)

    @property
    def spec(self) -> Any:
        """The description of all that is registered."""
        with self._describing:
            while self._undescribed:
                self._undescribed.pop(0)(self._spec)
            return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec = spec

    def name_schema(self, name: str, schema: ma.Schema) -> None:
        """Have the schema described under this name."""
        self._undescribed.append(lambda spec: spec.components.schema(name, schema=schema))

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Serve a room's part of the API, and describe it later."""
        name = str(options.get("name", blueprint.name))
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blueprint, **options)
        self._undescribed.append(lambda spec: self._describe(spec, blueprint, name))

    def _describe(self, spec: Any, blueprint: Blueprint, name: str) -> None:
        blueprint.register_views_in_doc(self, self._app, spec, name=name, parameters=None)
        spec.tag({"name": name, "description": blueprint.description})

    def _register_error_handlers(self) -> None:
        register_problems(self._app)

    def _register_responses(self) -> None:
        # Every response that it registers is a failure's.
        self.DEFAULT_RESPONSE_CONTENT_TYPE = "application/problem+json"
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = "application/json"


class IdConverter(IntegerConverter):
    """A whole number in a path that fits into 64 bits; anything longer is no address."""

    regex = r"[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        """The number. Raises ValidationError (a 404) beyond 64 bits."""
        number = int(value)
        if number > MOST_INTEGER:
            raise ValidationError
        return number


def install_http(app: Flask, settings: Settings) -> Api:
    """Give `app` its manners; returns the Api at which the rooms register their blueprints."""
    app.config.update(
        API_TITLE="Crowd",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=PREFIX,
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS=_SPEC,
        MAX_CONTENT_LENGTH=settings.max_upload_bytes,
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.url_map.converters["int"] = IdConverter
    app.before_request(_limit_body)
    app.after_request(_add_headers)
    api = Api(app)
    app.register_blueprint(_docs_page(api))
    return api


def parse_json(data: bytes) -> Any:
    """The document in `data`. Raises Problem (400) for what is no JSON.

    NaN and Infinity, which many programs write, are let through to `unkeepable`, which names their place.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise Problem("malformed", "The JSON body is nested too deep.") from None
    except ValueError:
        raise Problem("malformed", "The body is not well-formed JSON.") from None


def unkeepable(document: Any) -> dict[str, list[str]]:
    """What in `document` no database column could keep, by path; empty if all is well."""
    return flat_pairs(_unkeepable(document))


def flat_pairs(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """Path and text pairs gathered by path."""
    found: dict[str, list[str]] = {}
    for path, text in pairs:
        found.setdefault(path or BODY, []).append(text)
    return found


def _unkeepable(document: Any) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, int, Any]] = [("", 0, document)]
    while waiting:
        path, depth, value = waiting.pop()
        if isinstance(value, dict | list):
            if depth == MOST_DEPTH:
                yield path, "Nested too deep."
                continue
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in pairs:
                if isinstance(key, str) and (text := _unkeepable_value(key)):
                    yield path, text
                else:
                    waiting.append((f"{path}.{key}" if path else str(key), depth + 1, inner))
        elif text := _unkeepable_value(value):
            yield path, text


def _unkeepable_value(value: Any) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "Holds a NUL character."
        # Half of a surrogate pair is legal in JSON's escapes, and no text.
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            return "Holds half a character."
    elif isinstance(value, int):
        if not LEAST_INTEGER <= value <= MOST_INTEGER:
            return "Does not fit into 64 bits."
    elif isinstance(value, float) and not math.isfinite(value):
        return "Is no finite number."
    return None


def _one_form(parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a request with those of one form, texts and files, as one: `multipart/form-data`."""
    places = {each["in"]: each for each in parameters}
    if not places.keys() >= {"form", "files"}:
        return parameters
    text, files = places["form"]["schema"], places["files"]["schema"]
    whole = Schema.from_dict({**text.declared_fields, **files.declared_fields}, name=type(text).__name__)()
    rest = [each for each in parameters if each["in"] not in ("form", "files")]
    return [*rest, {**places["files"], "schema": whole}]


def _limit_body() -> None:
    # Uploads alone may be large; the limit holds for chunked bodies too, while they are read.
    if request.mimetype != "multipart/form-data":
        request.max_content_length = MOST_JSON_BYTES


def _add_headers(response: Response) -> Response:
    headers = response.headers
    for name, value in SECURITY_HEADERS.items():
        headers.add(name, value)
    if origin := current_app.config.get(IMAGE_ORIGIN):
        headers["Content-Security-Policy"] = CONTENT_POLICY.replace(
            "img-src 'self'", f"connect-src 'self' {origin}; img-src 'self' {origin}"
        )
    if response.mimetype in ("application/json", "application/problem+json"):
        headers.setdefault("Cache-Control", "no-store")
    return response


def _docs_page(api: Api) -> FlaskBlueprint:
    """The readable description at `/api/docs`, made from the machine-readable one."""
    docs = FlaskBlueprint(
        "docs", __name__, url_prefix="/api/docs", static_folder="static", template_folder="templates"
    )

    @docs.get("", strict_slashes=False)
    def show() -> str:
        spec = api.spec.to_dict()
        return render_template("api_docs.html", spec=spec, groups=_by_tag(spec))

    return docs


def _by_tag(spec: dict[str, Any]) -> list[dict[str, Any]]:
    groups = {tag["name"]: {**tag, "operations": []} for tag in spec.get("tags", [])}
    for path, methods in spec["paths"].items():
        shared = methods.get("parameters", [])
        for method, operation in methods.items():
            if method == "parameters":
                continue
            entry = {**operation, "method": method.upper(), "path": path}
            entry["parameters"] = shared + operation.get("parameters", [])
            for tag in operation["tags"]:
                groups[tag]["operations"].append(entry)
    return list(groups.values())


_SPEC: dict[str, Any] = {
    "info": {
        "description": "Log in with `Authorization: Bearer TOKEN`, or with a session by `POST /login`; "
        "writes with a session carry the `csrf_token` cookie's value in `X-CSRF-Token`."
    },
    "components": {
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "session"},
        }
    },
    "security": [{"token": []}, {"session": []}],
}
