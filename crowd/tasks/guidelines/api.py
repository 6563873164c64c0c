"""Guidelines over HTTP: for whoever works, by stage and language; written by admins."""

from typing import Any

from flask import Response, jsonify, request

from crowd.accounts.auth import actor, requires_grade, requires_login
from crowd.core import clock
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Page, page, paged
from crowd.policy import Grade, Stage
from crowd.runtime import runtime
from crowd.tasks.guidelines import queries, service
from crowd.tasks.guidelines.schemas import (
    GuidelineArgs,
    GuidelineSchema,
    NewGuidelineSchema,
    VersionArgs,
    VersionSchema,
)
from crowd.tasks.guidelines.service import Edition

blueprint = Blueprint("guidelines", __name__, description="What people are told about each stage.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/guidelines/<stage>")
@requires_login
@blueprint.arguments(GuidelineArgs, location="query")
@blueprint.response(200, GuidelineSchema)
@blueprint.alt_response(304, description="The same version as before.")
def show(query: dict[str, Any], stage: str) -> Response:
    """The guideline of a stage; ask again with its ETag, and nothing comes while it has not changed."""
    with runtime().db.read() as conn:
        found = service.present(conn, _stage(stage), query["lang"])
    etag = f"{found['stage']}-{found['language']}-{found['version']}"
    answer = Response(status=304)
    if not request.if_none_match.contains(etag):
        answer = jsonify(GuidelineSchema().dump(found))
    answer.set_etag(etag)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


@blueprint.route("/guidelines/<stage>", methods=["POST"])
@admins_only
@blueprint.arguments(NewGuidelineSchema)
@blueprint.response(201, GuidelineSchema)
def write(body: dict[str, Any], stage: str) -> dict[str, Any]:
    """Write the next version of a stage's guideline; earlier ones stay."""
    edition = Edition(_stage(stage), **body)
    with runtime().db.begin() as conn:
        return service.write(conn, edition, actor().id, clock.now())


@blueprint.route("/guidelines/<stage>/versions")
@admins_only
@blueprint.arguments(VersionArgs, location="query")
@blueprint.response(200, paged(VersionSchema))
def list_versions(query: dict[str, Any], stage: str) -> Page:
    """What admins wrote for a stage, newest first, and why."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.versions(conn, _stage(stage), query["lang"], before=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.version)


@blueprint.route("/guidelines/<stage>/built-in")
@admins_only
@blueprint.arguments(GuidelineArgs, location="query")
@blueprint.response(200, GuidelineSchema)
def show_built_in(query: dict[str, Any], stage: str) -> dict[str, Any]:
    """Version 0: the guideline that comes with the product."""
    of = _stage(stage)
    text = service.built_in(of, query["lang"])
    return {"stage": of, "language": query["lang"], "version": 0, "text": text, "at": None}


def _stage(name: str) -> Stage:
    if name not in set(Stage):
        raise NotFound("no_such_stage", f"There is no stage {name!r}.")
    return Stage(name)
