"""An image's history and its state: the one door through which either changes.

Every event is a row that stays; the state of an image is what its events add up to
(`replay`), kept beside them only so that it can be searched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import literal
from crowd.core.statements import Statement
from crowd.images.models import WHAT, Image, ImageEvent, ImageState, What
from crowd.policy import Stage

# The state each event leaves the image in; the others leave it as it was.
STATES: dict[What, ImageState] = {
    What.UPLOADED: ImageState.IN_WORK,
    What.ACCEPTED: ImageState.ACCEPTED,
    What.HELD: ImageState.HELD,
    What.REFUSED: ImageState.REFUSED,
    What.WITHDRAWN: ImageState.WITHDRAWN,
    What.REOPENED: ImageState.IN_WORK,
}

# What follows from an answer; the row names who gave it, and tells of others' answers too.
CONSEQUENCES = frozenset(
    {
        What.BOUNCED,
        What.SECOND_OPINION,
        What.DISPUTED,
        What.UPHELD,
        What.ACCEPTED,
        What.HELD,
        What.REFUSED,
    }
)

# After these the image goes through its stages anew, in the next round.
NEW_ROUND = frozenset({What.BOUNCED, What.SECOND_OPINION, What.UPHELD, What.REOPENED})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event to be recorded; the fields are those of ImageEvent."""

    what: What
    worker_id: int | None = None
    about_id: int | None = None
    stage: Stage | None = None
    target: Stage | None = None
    task_id: int | None = None
    why: Any = None


_IMAGE = sa.bindparam("of_image", type_=Image.id.type)
_NEXT_ROUND = Statement(sa.update(Image).where(Image.id == _IMAGE).values(round=Image.round + 1))
_NEW_STATE = Statement(
    sa.update(Image).where(Image.id == _IMAGE).values(state=sa.bindparam("to", type_=Image.state.type))
)
_FIELDS = ("at", "what", "worker_id", "about_id", "stage", "target", "task_id", "why")
_ADD_EVENT = Statement(
    sa.insert(ImageEvent)
    .values(
        image_id=_IMAGE,
        round=sa.select(Image.round).where(Image.id == _IMAGE).scalar_subquery(),
        **{name: sa.bindparam(f"with_{name}", type_=ImageEvent.__table__.c[name].type) for name in _FIELDS},
    )
    .returning(ImageEvent.round)
)


def record(conn: Connection, image_id: int, happening: Happening, at: datetime) -> int:
    """Append the event, and move the image to the state and round it leads to.

    The caller holds the lock on the image's row. Returns the image's round.
    """
    if happening.what in STATES:
        _NEW_STATE.change(conn, {"of_image": image_id, "to": STATES[happening.what]})
    if happening.what in NEW_ROUND:
        _NEXT_ROUND.change(conn, {"of_image": image_id})
    fields = {f"with_{name}": getattr(happening, name) for name in _FIELDS if name != "at"}
    image_round: int = _ADD_EVENT.run(conn, {"of_image": image_id, "with_at": at, **fields}).scalar_one()
    return image_round


def held_whys(conn: Connection, image_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """By what each of the images was held last: the `why` of its newest such event."""
    rows = conn.execute(
        sa.select(ImageEvent.image_id, ImageEvent.why)
        .where(ImageEvent.image_id.in_(image_ids), ImageEvent.what == literal(What.HELD, WHAT))
        .order_by(ImageEvent.id)
    )
    return {row.image_id: row.why for row in rows if isinstance(row.why, Mapping)}


def replay(happened: Iterable[What]) -> tuple[ImageState | None, int]:
    """The state and round that a history adds up to."""
    state: ImageState | None = None
    image_round = 1
    for what in happened:
        state = STATES.get(what, state)
        image_round += what in NEW_ROUND
    return state, image_round
