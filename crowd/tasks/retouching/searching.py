"""Faces in images that came in while nobody could search for them: found, covered, and the image let in."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.errors import Conflict, Problem
from crowd.images import faces, pictures
from crowd.images import queries as images
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, What
from crowd.images.pictures import NewPicture
from crowd.policy import Action, Covering, Stage
from crowd.runtime import Runtime
from crowd.tasks import decisions, image_queries
from crowd.tasks.decisions import Reopening
from crowd.tasks.retouching import queries

PAGE = 200
UNCHECKED = "faces_unchecked"


@dataclass(slots=True)
class Searched:
    """How many images were searched, had faces (covered now), and went to work because of that."""

    searched: int = 0
    covered: int = 0
    let_in: int = 0


def search_unchecked(rt: Runtime, progress: Callable[[], None]) -> Searched:
    """Search every image in use that nobody could search when it came in; cut off, call it again.

    Raises Problem `no_detector` where that still cannot be done, and Unavailable `busy`.
    """
    if not faces.can_search() or rt.policy.intake.faces.cover is Covering.NONE:
        text = "Install the extra `faces`, and have the policy cover them (intake.faces.cover)."
        raise Problem("no_detector", text)
    told, after = Searched(), 0
    while True:
        with rt.db.read() as conn:
            ids = images.unsearched(conn, after, PAGE)
        for image_id in ids:
            _search(rt, image_id, told)
            progress()
        if len(ids) < PAGE:
            return told
        after = ids[-1]


def _search(rt: Runtime, image_id: int, told: Searched) -> None:
    try:
        new = pictures.searched(rt, image_id)
    except Conflict:
        # Its picture cannot be read: it stays unsearched, and held.
        return
    with rt.db.begin() as conn:
        image_queries.lock_image(conn, image_id)
        _note(conn, image_id, new)
        told.let_in += _let_in(conn, image_id)
    told.searched += 1
    told.covered += new is not None


def _note(conn: Connection, image_id: int, new: NewPicture | None) -> None:
    if new is None:
        images.no_faces(conn, image_id)
        return
    happening = Happening(What.COVERED, why="searched for faces")
    pictures.take(conn, new, happening, [], clock.now())


def _let_in(conn: Connection, image_id: int) -> bool:
    """Whether the image, held for want of a search alone, goes to work now.

    What came with labels is left to an admin: they say how far it is, and nothing here knows that.
    """
    image = image_queries.lock_image(conn, image_id)
    holding = {each.code for each in images.findings_of(conn, image_id) if each.action is Action.HOLD}
    if image is None or image.state is not ImageState.HELD or holding != {UNCHECKED}:
        return False
    if queries.has_labels(conn, image_id):
        return False
    stage, why = Stage.SEGMENTATION, {"reason": "faces_searched"}
    if images.is_waiting(conn, image_id):
        # Its delivery is not handed over: that opens the task.
        record(conn, image_id, Happening(What.REOPENED, target=stage, why=why), clock.now())
    else:
        decisions.reopen(conn, image, stage, Reopening(None, why), clock.now())
    return True
