"""Example pictures for a demo: of each style that was accepted, the first images that may be one."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.errors import Conflict
from crowd.examples import queries, service
from crowd.examples.queries import STYLES
from crowd.examples.service import Choice
from crowd.images.models import Image, ImageState
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks.models import Label
from crowd.taxonomy import Style

OF_EACH = 2


def choose_examples(conn: Connection, rt: Runtime, admin_id: int, now: datetime) -> int:
    """Choose up to OF_EACH images of each style that has no example yet; how many were chosen."""
    accepted = by_main_style(conn)
    return sum(1 for style in rt.taxonomy.styles for _ in _chosen(conn, rt, style, accepted, admin_id, now))


def by_main_style(conn: Connection) -> dict[str, list[int]]:
    """The accepted images of each main style, by id."""
    rows = conn.execute(
        sa.select(Label.image_id, Label.value)
        .join(Image, Image.id == Label.image_id)
        .where(Label.stage == Stage.STYLES, Image.state == ImageState.ACCEPTED)
        .order_by(Label.image_id, Label.id)
    )
    # Of several versions the last one holds.
    latest = {row.image_id: row.value["styles"][0] for row in rows if row.value.get("styles")}
    found: dict[str, list[int]] = {}
    for image_id, style in latest.items():
        found.setdefault(style, []).append(image_id)
    return found


def _chosen(
    conn: Connection,
    rt: Runtime,
    style: Style,
    accepted: Mapping[str, Sequence[int]],
    admin_id: int,
    now: datetime,
) -> Iterator[int]:
    if queries.places_of(conn, STYLES, style.key):
        return
    wanted = min(OF_EACH, rt.policy.examples.of_a_value)
    for image_id in accepted.get(style.key, ()):
        if wanted == 0:
            return
        choice = Choice(
            facet=STYLES,
            value=style.key,
            image_id=image_id,
            caption_en=f"{style.en}, as the crowd of the demo had it accepted",
            caption_ko=f"{style.ko}: 데모 작업자들이 승인한 사진",
            reason="to show what an example looks like",
        )
        try:
            yield service.choose(conn, rt, choice, admin_id, now)
        except Conflict:
            # Gold, or without settled rights: the next one.
            continue
        wanted -= 1
