"""Answering with the picture of an image. Who may have it is for the rooms above to know."""

from flask import Response, request, send_file

from crowd.core.db import AnyRow
from crowd.core.errors import NotFound
from crowd.images.files import files_of
from crowd.runtime import Runtime

# The bytes of a working image never change; who may see them does.
AN_HOUR = "private, max-age=3600"
# Shorter than the address of a store is good for, so that nobody follows one that has run out.
HALF_AN_HOUR = "private, max-age=1800"
ASK_EACH_TIME = "private, no-cache"


def send_picture(rt: Runtime, image: AnyRow, *, thumbnail: bool, each_time: bool = False) -> Response:
    """The JPEG of an image as `queries.image_file` gives it, or where the store has it.

    `each_time`: the browser asks again before it shows the picture once more. Raises NotFound.
    """
    files = files_of(image.sha256, image.picture)
    key = files.thumbnail if thumbnail else files.working
    etag = f"{image.sha256.hex()}-{image.picture.hex() if image.picture else image.width}"
    if address := rt.storage.address(key, mimetype="image/jpeg"):
        return _redirected(address, etag, ASK_EACH_TIME if each_time else HALF_AN_HOUR)
    path = rt.storage.root / key
    if not path.is_file():
        raise NotFound("file_missing", f"The file of image {image.id} is missing from the storage.")
    response = send_file(path, mimetype="image/jpeg", conditional=True, etag=etag)
    response.headers["Cache-Control"] = ASK_EACH_TIME if each_time else AN_HOUR
    # Told by its bytes alone: the time of the file would tell that a picture is older than its number.
    response.last_modified = None
    return response


def _redirected(address: str, etag: str, kept: str) -> Response:
    response = Response(status=302)
    if request.if_none_match.contains(etag):
        response = Response(status=304)
    else:
        response.headers["Location"] = address
    response.set_etag(etag)
    response.headers["Cache-Control"] = kept
    return response
