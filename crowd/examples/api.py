"""Example pictures over HTTP: seen by whoever may work, chosen by admins.

Pictures have addresses of their own here, which tell neither the image's number nor anything else of it; so
nothing of `/images/N` is open to anybody for being an example.
"""

from typing import Any

from flask import Response

from crowd.accounts.auth import active_actor, actor, requires_active, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, page, paged
from crowd.examples import queries, service
from crowd.examples.schemas import (
    ChosenArgs,
    ChosenSchema,
    ExampleArgs,
    ExampleSchema,
    NewExampleSchema,
    WholeExampleSchema,
)
from crowd.examples.service import Choice
from crowd.images import queries as images
from crowd.images.sending import send_picture
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tiers.schemas import ReasonSchema

blueprint = Blueprint("examples", __name__, description="Pictures that show what a value looks like.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/examples")
@requires_active
@blueprint.arguments(ExampleArgs, location="query")
@blueprint.response(200, paged(ExampleSchema))
def list_examples(query: dict[str, Any]) -> Page:
    """The examples that the caller may see now, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.shown_to(
            conn,
            active_actor().id,
            clock.now().date(),
            stage=query["stage"],
            after=query["cursor"] or 0,
            limit=limit + 1,
        )
    return page([_shown(row) for row in rows], limit, lambda row: row["id"])


@blueprint.route("/examples/<int:example_id>/file")
@requires_active
@blueprint.response(200, content_type="image/jpeg")
def example_picture(example_id: int) -> Response:
    """The picture of an example that the caller may see now."""
    return _picture(example_id, thumbnail=False)


@blueprint.route("/examples/<int:example_id>/thumbnail")
@requires_active
@blueprint.response(200, content_type="image/jpeg")
def example_thumbnail(example_id: int) -> Response:
    """A small version of an example's picture."""
    return _picture(example_id, thumbnail=True)


@blueprint.route("/examples", methods=["POST"])
@admins_only
@blueprint.arguments(NewExampleSchema)
@blueprint.response(201, ChosenSchema)
def choose(body: dict[str, Any]) -> dict[str, Any]:
    """Show an accepted image as an example of one of its styles or attributes' values."""
    rt, now = runtime(), clock.now()
    with rt.db.begin() as conn:
        added = service.choose(conn, rt, Choice(**body), actor().id, now)
        return _chosen(service.find(conn, added, now))


@blueprint.route("/examples/chosen")
@admins_only
@blueprint.arguments(ChosenArgs, location="query")
@blueprint.response(200, paged(ChosenSchema))
def list_chosen(query: dict[str, Any]) -> Page:
    """What admins chose and did not take away, also what is not seen for now and why; oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.chosen(
            conn,
            clock.now().date(),
            facet=query["facet"],
            value=query["value"],
            after=query["cursor"] or 0,
            limit=limit + 1,
        )
    return page([_chosen(row) for row in rows], limit, lambda row: row["id"])


@blueprint.route("/examples/<int:example_id>")
@admins_only
@blueprint.response(200, WholeExampleSchema)
def show_example(example_id: int) -> dict[str, Any]:
    """One example, and who did what with it."""
    with runtime().db.read() as conn:
        found = service.find(conn, example_id, clock.now())
        return {**_chosen(found), "events": queries.events_of(conn, example_id)}


@blueprint.route("/examples/<int:example_id>/remove", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, ChosenSchema)
def remove(body: dict[str, Any], example_id: int) -> dict[str, Any]:
    """Have an image be no example any more."""
    now = clock.now()
    with runtime().db.begin() as conn:
        service.take_away(conn, example_id, actor().id, body["reason"], now)
        return _chosen(service.find(conn, example_id, now))


def _picture(example_id: int, *, thumbnail: bool) -> Response:
    rt = runtime()
    with rt.db.read() as conn:
        shown = queries.shown_to(conn, active_actor().id, clock.now().date(), example_id=example_id)
        if not shown:
            raise service.no_such_example(example_id)
        image = images.image_file(conn, shown[0].image_id)
    if image is None:
        raise service.no_such_example(example_id)
    return send_picture(rt, image, thumbnail=thumbnail, each_time=True)


def _shown(row: AnyRow) -> dict[str, Any]:
    # Another address for another picture, for browsers keep them.
    version = f"?v={row.picture.hex()[:16]}" if row.picture else ""
    address = f"/api/v1/examples/{row.id}"
    return {
        **{name: getattr(row, name) for name in ("id", "facet", "value", "caption_en", "caption_ko")},
        "width": row.width,
        "height": row.height,
        "url": f"{address}/file{version}",
        "thumbnail": f"{address}/thumbnail{version}",
    }


def _chosen(row: AnyRow) -> dict[str, Any]:
    return {
        **_shown(row),
        "image_id": row.image_id,
        "at": row.at,
        "by": row.by,
        "hidden": service.hidden_because(row),
    }
