"""Releases over the API: freezing, comparing and exporting them for admins; asking for them for everybody."""

from typing import Any

from flask import Response, url_for

from crowd.accounts.auth import actor, requires_active, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.datasets import access, access_queries, queries, service
from crowd.datasets.about import checked_about
from crowd.datasets.archive import stream_zip
from crowd.datasets.jobs import export_key
from crowd.datasets.models import ExportState, Verdict
from crowd.datasets.schemas import (
    AccessRequestSchema,
    AccessVerdictSchema,
    DiffSchema,
    DownloadSchema,
    JobSchema,
    NewAccessRequestSchema,
    NewExportSchema,
    NewReleaseSchema,
    NewTestResultSchema,
    OfferedSchema,
    OrderedSchema,
    ReleasePictureSchema,
    ReleaseSchema,
    TestResultSchema,
    TombstoneSchema,
    WholeReleaseSchema,
)
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tasks import taxonomies

blueprint = Blueprint("datasets", __name__, description="Frozen data sets, and the files made of them.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/releases", methods=["POST"])
@admins_only
@blueprint.arguments(NewReleaseSchema)
@blueprint.response(201, WholeReleaseSchema)
def create_release(body: dict[str, Any]) -> dict[str, Any]:
    """Freeze every accepted image with its labels as they are now."""
    rt = runtime()
    release = service.create_release(
        rt.db,
        body["name"],
        taxonomy_id=taxonomies.shelf(rt).present_id(),
        by=actor().id,
        now=clock.now(),
        about=checked_about(body["about"] or {}),
        policy=rt.policy,
    )
    return _whole(release.id)


@blueprint.route("/releases")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ReleaseSchema))
def list_releases(query: dict[str, Any]) -> Page:
    """Every release, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.releases(conn, after=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/releases/<int:release_id>")
@admins_only
@blueprint.response(200, WholeReleaseSchema)
def show_release(release_id: int) -> dict[str, Any]:
    """One release."""
    return _whole(release_id)


@blueprint.route("/releases/<int:release_id>/exports", methods=["POST"])
@admins_only
@blueprint.arguments(NewExportSchema)
@blueprint.response(202, OrderedSchema)
def order_export(body: dict[str, Any], release_id: int) -> dict[str, Any]:
    """Have the release's files written; the job's URL tells how far that is."""
    rt = runtime()
    service.revise(rt.db, release_id, clock.now())
    with rt.db.begin() as conn:
        wanted = service.plan(conn, rt, release_id, body["format"], body["layout"])
        job_id = service.order_export(conn, wanted, by=actor().id, now=clock.now())
    rt.queue.nudge("exports")
    return {"job": {"id": job_id, "url": url_for("datasets.show_job", job_id=job_id)}}


@blueprint.route("/releases/<int:release_id>/exports")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(JobSchema))
def list_exports(query: dict[str, Any], release_id: int) -> Page:
    """The release's exports, oldest first; for admins, and for those who may fetch it."""
    rt, limit = runtime(), query["limit"]
    service.revise(rt.db, release_id, clock.now())
    with rt.db.read() as conn:
        service.find_release(conn, release_id)
        access.grant_of(conn, actor(), release_id)
        rows = access_queries.exports_of(conn, release_id, after=query["cursor"] or 0, limit=limit + 1)
    return page([_job(row) for row in rows], limit, lambda row: row["id"])


@blueprint.route("/releases/<int:release_id>/tombstones")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(TombstoneSchema))
def list_tombstones(query: dict[str, Any], release_id: int) -> Page:
    """Images that were in the release and were withdrawn, by id."""
    rt, limit = runtime(), query["limit"]
    service.revise(rt.db, release_id, clock.now())
    with rt.db.read() as conn:
        service.find_release(conn, release_id)
        rows = queries.tombstones(conn, release_id, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.image_id)


@blueprint.route("/releases/<int:release_id>/pictures")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ReleasePictureSchema))
def list_pictures(query: dict[str, Any], release_id: int) -> Page:
    """Images of the release that are another picture than at first, by revision."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        service.find_release(conn, release_id)
        rows = queries.pictures(conn, release_id, after=query["cursor"] or 0, limit=limit + 1)
    return page([_picture(row) for row in rows], limit, lambda row: row["revision"])


@blueprint.route("/releases/<int:release_id>/diff/<int:other_id>")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, DiffSchema)
def show_diff(query: dict[str, Any], release_id: int, other_id: int) -> dict[str, Any]:
    """What is different in the other release: how many images of each kind, and which, by id."""
    rt, limit = runtime(), query["limit"]
    with rt.db.read() as conn:
        for each in (release_id, other_id):
            service.find_release(conn, each)
        sizes = queries.diff_sizes(conn, release_id, other_id)
        rows = queries.diff_page(conn, release_id, other_id, after=query["cursor"] or 0, limit=limit + 1)
    shown = page([service.difference(row) for row in rows], limit, lambda row: row["image_id"])
    return {"sizes": sizes, **shown}


@blueprint.route("/catalogue")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(OfferedSchema))
def list_offered(query: dict[str, Any]) -> Page:
    """Every release, and how the caller's request for it stands; for everybody."""
    limit, caller = query["limit"], actor()
    with runtime().db.read() as conn:
        rows = queries.releases(conn, after=query["cursor"], limit=limit + 1)
        offered = [{**row._mapping, "access": access.DESK.standing(conn, caller, row.id)} for row in rows]
    return page(offered, limit, lambda row: row["id"])


@blueprint.route("/releases/<int:release_id>/requests", methods=["POST"])
@requires_active
@blueprint.arguments(NewAccessRequestSchema)
@blueprint.response(201, AccessRequestSchema)
def ask(body: dict[str, Any], release_id: int) -> AnyRow:
    """Ask to fetch the release; an admin decides."""
    with runtime().db.begin() as conn:
        return access.ask(conn, actor(), release_id, body["purpose"], clock.now())


@blueprint.route("/releases/<int:release_id>/requests")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(AccessRequestSchema))
def list_requests(query: dict[str, Any], release_id: int) -> Page:
    """Requests for the release, oldest first: everybody's for admins, else one's own."""
    limit, caller = query["limit"], actor()
    with runtime().db.read() as conn:
        service.find_release(conn, release_id)
        rows = access.DESK.requests(
            conn,
            release_id,
            by=None if caller.sees_all else caller.id,
            after=query["cursor"] or 0,
            limit=limit + 1,
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/releases/<int:release_id>/requests/<int:request_id>/approve", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, AccessRequestSchema)
def approve(body: dict[str, Any], release_id: int, request_id: int) -> AnyRow:
    """The person may fetch the release from now on."""
    return _decide(body, release_id, request_id, Verdict.APPROVED)


@blueprint.route("/releases/<int:release_id>/requests/<int:request_id>/deny", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, AccessRequestSchema)
def deny(body: dict[str, Any], release_id: int, request_id: int) -> AnyRow:
    """The person may not fetch the release, and is told why."""
    return _decide(body, release_id, request_id, Verdict.DENIED)


@blueprint.route("/releases/<int:release_id>/requests/<int:request_id>/revoke", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, AccessRequestSchema)
def revoke(body: dict[str, Any], release_id: int, request_id: int) -> AnyRow:
    """The person may fetch the release no longer."""
    return _decide(body, release_id, request_id, Verdict.REVOKED)


@blueprint.route("/releases/<int:release_id>/downloads")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(DownloadSchema))
def list_downloads(query: dict[str, Any], release_id: int) -> Page:
    """Who fetched the release, and when, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        service.find_release(conn, release_id)
        rows = access_queries.downloads(conn, release_id, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/releases/<int:release_id>/results", methods=["POST"])
@admins_only
@blueprint.arguments(NewTestResultSchema)
@blueprint.response(201, TestResultSchema)
def add_result(body: dict[str, Any], release_id: int) -> dict[str, Any]:
    """Attach the test result of a model that was trained on the release."""
    now = clock.now()
    with runtime().db.begin() as conn:
        result_id = access.add_result(conn, actor(), release_id, **body, now=now)
    return {**body, "id": result_id, "actor_id": actor().id, "at": now}


@blueprint.route("/releases/<int:release_id>/results")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(TestResultSchema))
def list_results(query: dict[str, Any], release_id: int) -> Page:
    """What models achieved that were trained on the release, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        service.find_release(conn, release_id)
        rows = access_queries.results(conn, release_id, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/jobs/<int:job_id>")
@admins_only
@blueprint.response(200, JobSchema)
def show_job(job_id: int) -> dict[str, Any]:
    """How far an export is."""
    with runtime().db.read() as conn:
        export = service.find_export(conn, job_id)
    return _job(export)


@blueprint.route("/jobs/<int:job_id>/download")
@requires_active
@blueprint.doc(responses={200: {"description": "The files.", "content": {"application/zip": {}}}})
def download(job_id: int) -> Response:
    """The files of an export that is done, as one ZIP file, for admins and those who may fetch the release.

    Each fetch is noted. After an image was withdrawn, or a face in it covered, what holds it as it was is not
    handed out any more.
    """
    rt = runtime()
    with rt.db.read() as conn:
        release_id = service.find_export(conn, job_id).release_id
    service.revise(rt.db, release_id, clock.now())
    with rt.db.begin() as conn:
        export = service.find_export(conn, job_id)
        access.note_download(conn, actor(), export, clock.now())
    folder = rt.storage.root / export_key(job_id)
    if not folder.is_dir():
        raise NotFound("files_gone", f"The files of job {job_id} were removed from the storage.")
    name = f"{export.release}-{export.format}"
    return Response(
        stream_zip(folder, name),
        mimetype="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


def _job(export: AnyRow) -> dict[str, Any]:
    done = export.state is ExportState.DONE
    return {**export._mapping, "download": url_for("datasets.download", job_id=export.id) if done else None}


def _picture(row: AnyRow) -> dict[str, Any]:
    return {**row._mapping, "before": row.before and row.before.hex(), "picture": row.picture.hex()}


def _decide(body: dict[str, Any], release_id: int, request_id: int, verdict: Verdict) -> AnyRow:
    with runtime().db.begin() as conn:
        reason = body["reason"]
        return access.DESK.decide(conn, actor(), release_id, request_id, verdict, reason, clock.now())


def _whole(release_id: int) -> dict[str, Any]:
    rt = runtime()
    service.revise(rt.db, release_id, clock.now())
    with rt.db.read() as conn:
        release = service.find_release(conn, release_id)
        sizes = queries.split_sizes(conn, release_id)
    return {**release._mapping, "splits": {split.value: size for split, size in sizes.items()}}
