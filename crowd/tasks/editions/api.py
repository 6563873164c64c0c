"""The taxonomy over HTTP: the one that holds for everybody, its versions for admins."""

from typing import Any

from flask import Response, jsonify, request

from crowd.accounts.auth import actor, requires_grade, requires_login
from crowd.core import clock
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tasks.editions import service
from crowd.tasks.editions.schemas import (
    NewTaxonomySchema,
    TaxonomyEditionSchema,
    TaxonomyOutlookSchema,
    TaxonomySchema,
    TaxonomyWishSchema,
    WholeTaxonomyEditionSchema,
)
from crowd.tasks.editions.service import Wish
from crowd.tasks.taxonomies import shelf

blueprint = Blueprint("taxonomy", __name__, description="What people choose from, version by version.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/taxonomy")
@requires_login
@blueprint.response(200, TaxonomySchema)
@blueprint.alt_response(304, description="The same version as before.")
def show_taxonomy() -> Response:
    """The values people choose from: parts, attributes, styles, reason codes, unusable codes."""
    present = shelf(runtime()).present()
    etag = present.taxonomy.digest
    answer = Response(status=304)
    if not request.if_none_match.contains(etag):
        answer = jsonify({**present.taxonomy.public(), "id": present.id, "number": present.number})
    answer.set_etag(etag)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


@blueprint.route("/taxonomy/versions")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(TaxonomyEditionSchema))
def list_taxonomies(query: dict[str, Any]) -> Page:
    """Every version that ever held, newest first: what changed, who changed it, and why."""
    rt, limit = runtime(), query["limit"]
    shelf(rt).present()
    with rt.db.read() as conn:
        found = service.listed(conn, shelf(rt), before=query["cursor"], limit=limit + 1)
    return page(found, limit, lambda row: row["number"])


@blueprint.route("/taxonomy/versions/<int:number>")
@admins_only
@blueprint.response(200, WholeTaxonomyEditionSchema)
def show_version(number: int) -> dict[str, Any]:
    """One version with its document."""
    rt = runtime()
    shelf(rt).present()
    with rt.db.read() as conn:
        return service.show(conn, shelf(rt), number)


@blueprint.route("/taxonomy/preview", methods=["POST"])
@admins_only
@blueprint.arguments(TaxonomyWishSchema)
@blueprint.response(200, TaxonomyOutlookSchema)
def preview_taxonomy(body: dict[str, Any]) -> service.Outlook:
    """What publishing a taxonomy would change, and what would forbid it; nothing is kept."""
    rt, wish = runtime(), Wish(**body)
    wanted = service.read(wish)
    with rt.db.read() as conn:
        return service.outlook(conn, shelf(rt), wish, wanted)


@blueprint.route("/taxonomy/versions", methods=["POST"])
@admins_only
@blueprint.arguments(NewTaxonomySchema)
@blueprint.response(201, WholeTaxonomyEditionSchema)
def publish_taxonomy(body: dict[str, Any]) -> dict[str, Any]:
    """Publish the next version; every process goes by it within a few seconds."""
    rt = runtime()
    reason = body.pop("reason")
    shelf(rt).present()
    with rt.db.begin() as conn:
        made = service.publish(conn, shelf(rt), Wish(**body), reason, by=actor().id, now=clock.now())
    shelf(rt).look_again()
    return made
