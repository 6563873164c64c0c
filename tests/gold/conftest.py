"""A project with hidden gold: its people, images with numbers put aside beside them, and a pool."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import Settings
from crowd.gold import service
from crowd.gold.dealing import Dealer
from crowd.gold.models import GoldSeat
from crowd.images import service as intake
from crowd.images.models import Image
from crowd.ml.serving import Shelf
from crowd.policy import Stage
from crowd.runtime import build_runtime
from crowd.tasks import answer_queries, image_queries, seat_queries, shadows
from crowd.tasks.taxonomies import shelf
from tests.scenarios.people import Clock, Crew, Json, Person, good, good_result, regions
from tests.servers import spare_the_disk

HALF = 50
LABELS: dict[Stage, Any] = {
    Stage.SEGMENTATION: regions("top"),
    Stage.ATTRIBUTES: {"regions": {"r1": {"category": "blouses", "color": "black"}}},
    Stage.STYLES: {"styles": ["resort"], "unsure": False},
}


class GoldCrew(Crew):
    """A crew whose images come through intake's hands, as far as numbers go."""

    def _add_image(self, conn: Connection, batch_priority: int | None) -> int:
        image_id = super()._add_image(conn, batch_priority)
        row = conn.execute(sa.select(*Image.__table__.c).where(Image.id == image_id)).one()
        values = {
            name: row._mapping[name]
            for name in ("supplier_id", "file_name", "rights", "sha256", "created_at")
        }
        intake.put_aside(conn, self.rt.policy, image_id, {**values, "priority": row.priority})
        return image_id

    def seats_of_an_image(self, conn: Connection) -> None:
        """An image of which nothing is there but the two open seats, and all its labels."""
        image = image_queries.lock_image(conn, self._add_image(conn, None))
        assert image is not None
        now, taxonomy_id = self.clock.now(), shelf(self.rt).present_id()
        for stage, value in LABELS.items():
            answer_queries.add_label(conn, image.id, stage, 1, None, taxonomy_id, value, now)
        for _ in range(2):
            seat_queries.open_task(conn, image, Stage.SECOND_REVIEW, 1, now)

    def sources(self, count: int) -> list[int]:
        """Accepted images; call it before there is gold, or the usual people get some."""
        return [self.accepted_image() for _ in range(count)]

    def gold(self, image_ids: list[int], *stages: str, **more: Any) -> list[Json]:
        """Gold of these images at these stages."""
        added = []
        for image_id in image_ids:
            body = {"image_id": image_id, "stages": list(stages), "reason": "known", **more}
            response = self.admin.post("/gold", body)
            assert response.status_code == 201, response.text
            added += response.json["items"]
        return added

    def seats(self, person: Person | None = None) -> set[int]:  # type: ignore[override]  # of gold, here
        """The tasks that were gold, of one person or of all."""
        found = sa.select(GoldSeat.task_id)
        if person is not None:
            found = found.where(GoldSeat.worker_id == person.id)
        with self.rt.db.read() as conn:
            return set(conn.execute(found).scalars())

    def until_gold(
        self, person: Person, stage: str, do: Callable[[Json], object] | None = None, most: int = 60
    ) -> Json:
        """Claim, and answer well, until a task is gold; it is held."""
        for _ in range(most):
            task = person.claim(stage)
            if task["id"] in self.seats(person):
                return task
            if do is None:
                good(person.submit(task, good_result(task)))
            else:
                do(task)
        raise AssertionError("no gold came")


@pytest.fixture
def gold_percent() -> float:
    """How much gold is hidden; a test may ask for another share."""
    return HALF


@pytest.fixture
def crew(settings: Settings, gold_percent: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoldCrew]:
    """An empty project on the test's own database, and its clock; its luck is the same each time."""
    rt = build_runtime(replace(settings, gold_percent=gold_percent))
    spare_the_disk(rt.db)
    app = create_app(rt=rt, environ={})
    app.testing = True
    luck = random.Random(5)
    monkeypatch.setattr(intake, "DICE", luck.random)
    monkeypatch.setattr(service, "DICE", luck)
    monkeypatch.setattr(shadows, "STAND_INS", [Dealer(rt.policy, Shelf(), dice=luck.random).stand_in])
    moved = Clock()
    monkeypatch.setattr(clock, "now", moved.now)
    yield GoldCrew(rt, app, moved)
    rt.db.close()
