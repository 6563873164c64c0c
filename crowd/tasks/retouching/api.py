"""Covering faces and cropping over HTTP: for whoever draws an image, for the refining team, for admins."""

from typing import Any

from crowd.accounts.auth import account_of, active_actor, requires_active, requires_kind
from crowd.accounts.models import AccountKind
from crowd.core.http import Blueprint
from crowd.runtime import runtime
from crowd.tasks.retouching import service
from crowd.tasks.retouching.schemas import CoverImageSchema, CoverSchema, CropSchema, NewPictureSchema
from crowd.tasks.retouching.service import Marked

blueprint = Blueprint("retouching", __name__, description="Faces covered and margins cut off.")

whoever_refines = requires_kind(AccountKind.REFINER)


@blueprint.route("/tasks/<int:task_id>/cover", methods=["POST"])
@requires_active
@blueprint.arguments(CoverSchema)
@blueprint.response(200, NewPictureSchema)
def cover_at_hand(body: dict[str, Any], task_id: int) -> dict[str, Any]:
    """Cover faces that were missed in the image that one draws or reviews; the original stays as it is.

    `crop` only while drawing, and while the image has no labels. What was drawn before moves by `shift`.
    """
    marked = Marked(body["regions"], body["how"])
    return service.cover_at_hand(runtime(), active_actor().id, task_id, body["token"], marked)


@blueprint.route("/images/<int:image_id>/cover", methods=["POST"])
@whoever_refines
@blueprint.arguments(CoverImageSchema)
@blueprint.response(200, NewPictureSchema)
def cover_image(body: dict[str, Any], image_id: int) -> dict[str, Any]:
    """Cover faces that were missed, at any time; `crop` only while the image has no labels."""
    marked = Marked(body["regions"], body["how"], body["reason"])
    return service.cover_image(runtime(), _me(), image_id, marked)


@blueprint.route("/images/<int:image_id>/crop", methods=["POST"])
@whoever_refines
@blueprint.arguments(CropSchema)
@blueprint.response(200, NewPictureSchema)
def crop_image(body: dict[str, Any], image_id: int) -> dict[str, Any]:
    """Keep a part of the working image, as long as nobody has labelled it."""
    return service.crop_image(runtime(), _me(), image_id, body["box"], body["reason"])


def _me() -> int:
    return account_of(AccountKind.REFINER).id
