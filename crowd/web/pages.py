"""The pages for people: one built application for every address of theirs, and the files it is made of."""

from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from crowd.core.errors import NotFound, Problem

blueprint = Blueprint("pages", __name__)

DIST = Path(__file__).parent / "dist"
# Only these: whatever else is asked for gets a plain 404, and other rooms keep their places.
ADDRESSES = (
    "/",
    "/work",
    "/work/<name>",
    "/courses",
    "/courses/<name>",
    "/courses/<name>/<what>",
    "/me",
    "/admin",
    "/admin/<name>",
    "/admin/<name>/<int:number>",
    "/admin/<name>/<int:number>/<what>",
)
# Those of people who are no admins: suppliers, the refining team, whoever asks for a data set, and everybody.
OTHERS = ("/deliveries", "/deliveries/<int:number>", "/contracts", "/access", "/password")
# The application makes no HTML out of text; this has the browser see to it.
TRUSTED_TYPES = "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
FOR_GOOD = "public, max-age=31536000, immutable"
# Beside a built file may lie the same one packed; the first that the browser understands is sent.
PACKED = {"br": ".br", "gzip": ".gz"}


class NotBuilt(Problem):
    """The pages were never built here; the API works all the same."""

    status = 503


def show(**parts: object) -> Response:
    """The application, whatever its page: it looks at the address itself."""
    if not (DIST / "index.html").is_file():
        raise NotBuilt("pages_not_built", "The pages are not built: run ./run setup.")
    response = send_from_directory(DIST, "index.html")
    # Its name stays while its contents change with each build.
    response.headers["Cache-Control"] = "no-cache"
    response.headers.add("Content-Security-Policy", TRUSTED_TYPES)
    return response


for _address in (*ADDRESSES, *OTHERS):
    blueprint.add_url_rule(_address, view_func=show)


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    """A built file; its name holds a hash of its contents."""
    path = DIST / "assets" / name
    if not path.is_file() or path.suffix in PACKED.values():
        raise NotFound("no_such_file", f"There is no file {name}.")
    response = _packed(name) or send_from_directory(path.parent, name)
    response.headers["Cache-Control"] = FOR_GOOD
    response.vary.add("Accept-Encoding")
    return response


@blueprint.get("/icon.svg")
def icon() -> Response:
    """The icon of the pages."""
    return send_from_directory(DIST, "icon.svg", max_age=86400)


def _packed(name: str) -> Response | None:
    for encoding, ending in PACKED.items():
        if request.accept_encodings.quality(encoding) and (DIST / "assets" / f"{name}{ending}").is_file():
            unpacked = send_from_directory(DIST / "assets", name)
            response = send_from_directory(DIST / "assets", f"{name}{ending}", mimetype=unpacked.mimetype)
            response.headers["Content-Encoding"] = encoding
            return response
    return None
