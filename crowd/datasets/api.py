"""Releases and their exports over the API, for admins."""

from typing import Any

from flask import Response, url_for

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.errors import Conflict, NotFound
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.datasets import queries, service
from crowd.datasets.archive import stream_zip
from crowd.datasets.jobs import export_key
from crowd.datasets.models import ExportState
from crowd.datasets.schemas import (
    JobSchema,
    NewExportSchema,
    NewReleaseSchema,
    OrderedSchema,
    ReleaseSchema,
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
        taxonomy_id=taxonomies.ensure(rt.db, rt.taxonomy),
        by=actor().id,
        now=clock.now(),
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
    with rt.db.begin() as conn:
        wanted = service.plan(conn, rt, release_id, body["format"], body["layout"])
        job_id = service.order_export(conn, wanted, by=actor().id, now=clock.now())
    rt.queue.nudge("exports")
    return {"job": {"id": job_id, "url": url_for("datasets.show_job", job_id=job_id)}}


@blueprint.route("/jobs/<int:job_id>")
@admins_only
@blueprint.response(200, JobSchema)
def show_job(job_id: int) -> dict[str, Any]:
    """How far an export is."""
    with runtime().db.read() as conn:
        export = service.find_export(conn, job_id)
    done = export.state is ExportState.DONE
    return {**export._mapping, "download": url_for("datasets.download", job_id=job_id) if done else None}


@blueprint.route("/jobs/<int:job_id>/download")
@admins_only
@blueprint.doc(responses={200: {"content": {"application/zip": {}}}})
def download(job_id: int) -> Response:
    """The files of an export that is done, as one ZIP file."""
    rt = runtime()
    with rt.db.read() as conn:
        export = service.find_export(conn, job_id)
    if export.state is not ExportState.DONE:
        raise Conflict("not_done", f"Job {job_id} is {export.state}; its files come when it is done.")
    folder = rt.storage.root / export_key(job_id)
    if not folder.is_dir():
        raise NotFound("files_gone", f"The files of job {job_id} were removed from the storage.")
    name = f"{export.release}-{export.format}"
    return Response(
        stream_zip(folder, name),
        mimetype="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


def _whole(release_id: int) -> dict[str, Any]:
    with runtime().db.read() as conn:
        release = service.find_release(conn, release_id)
        sizes = queries.split_sizes(conn, release_id)
    return {**release._mapping, "splits": {split.value: size for split, size in sizes.items()}}
