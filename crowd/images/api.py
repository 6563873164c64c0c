"""Images in, over HTTP: for admins."""

from typing import Any

from flask import Response, redirect, send_file
from werkzeug.datastructures import FileStorage

from crowd.accounts.auth import actor, requires_grade
from crowd.core.errors import Forbidden, field_error
from crowd.core.http import Blueprint, Page, page, paged
from crowd.images import queries, service
from crowd.images.models import ImageState
from crowd.images.schemas import (
    ImageListArgs,
    ImageRowSchema,
    IntakeSchema,
    OriginalArgs,
    UploadFileSchema,
    UploadFormSchema,
)
from crowd.images.service import Delivery
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("images", __name__, description="Images in, and where they come from.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/images", methods=["POST"])
@admins_only
@blueprint.arguments(UploadFormSchema, location="form")
@blueprint.arguments(UploadFileSchema, location="files")
@blueprint.response(201, IntakeSchema)
def upload(form: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """Take one image; it can be claimed as soon as this is answered."""
    sent: FileStorage = files["file"]
    data = sent.stream.read()
    if not data:
        raise field_error("file", "the file is empty", code="unreadable")
    delivery = Delivery(form["supplier"], sent.filename or "unnamed", form["rights"], form["batch"])
    taken = service.take_upload(runtime(), data, delivery, actor().id)
    state = "accepted" if taken.state is ImageState.IN_WORK else taken.state.value
    return {"id": taken.image_id, "state": state, "findings": taken.findings}


@blueprint.route("/images")
@admins_only
@blueprint.arguments(ImageListArgs, location="query")
@blueprint.response(200, paged(ImageRowSchema))
def list_images(query: dict[str, Any]) -> Page:
    """Images by id, of one state or supplier if asked."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.listed(
            conn,
            state=query["state"],
            supplier=query["supplier"],
            after=query["cursor"] or 0,
            limit=limit + 1,
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/images/<int:image_id>/original")
@admins_only
@blueprint.arguments(OriginalArgs, location="query")
@blueprint.response(200, content_type="application/octet-stream")
def original(query: dict[str, Any], image_id: int) -> Response:
    """The file as it was handed over; each look is written into the image's history.

    Where faces were covered a reason has to be given, which is kept with the look.
    """
    rt = runtime()
    if not actor().is_admin:
        raise Forbidden("grade", "Originals are for admins only.")
    key, name = service.original(rt, image_id, actor().id, query["reason"])
    mimetype = "application/octet-stream"
    if address := rt.storage.address(key, mimetype=mimetype, name=name):
        return redirect(address)  # type: ignore[return-value]
    # Never shown in the browser: it is what a stranger sent, unchanged.
    return send_file(rt.storage.root / key, mimetype=mimetype, as_attachment=True, download_name=name)
