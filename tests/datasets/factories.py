"""Accepted images with labels and working images, made directly in the database and the storage."""

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from PIL import Image as Pillow
from sqlalchemy.engine import Connection

from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import Image, ImageState, Rights, Supplier, What
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import taxonomies
from crowd.tasks.models import Label

THEN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
WIDTH, HEIGHT = 40, 60
REGIONS = {
    "regions": [{"id": "r1", "part": "top", "rings": [[[5, 5], [30, 5], [30, 40]]], "box": [5, 5, 25, 35]}]
}
ATTRIBUTES = {"regions": {"r1": {"category": "shirts", "color": "blue", "detail": ["ribbon"]}}}
STYLES = ("street", "resort", "feminine")


class Crowd:
    """What people have labelled so far, in the installation `rt`."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.taxonomy_id = taxonomies.ensure(rt.db, rt.taxonomy)
        with rt.db.begin() as conn:
            self.supplier_id = conn.execute(
                sa.insert(Supplier).values(name="A shop", created_at=THEN).returning(Supplier.id)
            ).scalar_one()

    def accept(
        self, count: int, *, first: int = 0, style: str | None = None, lacking: Stage | None = None
    ) -> list[int]:
        """That many accepted images, styles taken in turn, without labels of the stage `lacking`."""
        with self.rt.db.begin() as conn:
            return [
                self._accept(conn, number, style or STYLES[number % len(STYLES)], lacking)
                for number in range(first, first + count)
            ]

    def label(self, conn: Connection, image_id: int, stage: Stage, value: Any) -> int:
        """A further version of an image's labels."""
        return conn.execute(
            sa.insert(Label)
            .values(
                image_id=image_id, stage=stage, round=1, taxonomy_id=self.taxonomy_id, value=value, at=THEN
            )
            .returning(Label.id)
        ).scalar_one()

    def _accept(self, conn: Connection, number: int, style: str, lacking: Stage | None) -> int:
        data = jpeg(number)
        sha256 = hashlib.sha256(data).digest()
        self.rt.storage.path(files_of(sha256).working).write_bytes(data)
        image_id: int = conn.execute(
            sa.insert(Image)
            .values(
                supplier_id=self.supplier_id,
                file_name=f"picture-{number}.jpg",
                rights=Rights.OWNED,
                sha256=sha256,
                state=ImageState.IN_WORK,
                width=WIDTH,
                height=HEIGHT,
                created_at=THEN,
            )
            .returning(Image.id)
        ).scalar_one()
        given = {
            Stage.SEGMENTATION: REGIONS,
            Stage.ATTRIBUTES: ATTRIBUTES,
            Stage.STYLES: {"styles": [style], "unsure": False},
        }
        for stage, value in given.items():
            if stage is not lacking:
                self.label(conn, image_id, stage, value)
        record(conn, image_id, Happening(What.ACCEPTED), THEN)
        return image_id


def jpeg(number: int) -> bytes:
    """A small photograph that is like no other number's."""
    out = io.BytesIO()
    picture = Pillow.new("RGB", (WIDTH, HEIGHT), (number % 256, number // 256 % 256, 90))
    picture.save(out, "JPEG", comment=str(number).encode())
    return out.getvalue()
