"""Releases and rights: what no contract covers any more is in no release, from the day it ends."""

import csv
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.accounts.auth import Actor
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict
from crowd.datasets import queries, service
from crowd.datasets.exports import JOURNAL, Place, write_export
from crowd.datasets.jobs import run_exports
from crowd.datasets.records import MANIFEST, README
from crowd.images import contracts, deliveries
from crowd.images.contracts import NewContract
from crowd.images.deliveries import NewDelivery
from crowd.images.delivery_models import Contract
from crowd.images.models import Image, ImageEvent, ImageState, Rights, What
from crowd.images.rights import Use
from crowd.ml.data import read_folder
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks.models import Task, TaskState
from crowd.wiring import wire
from tests.datasets.factories import THEN, Crowd
from tests.datasets.test_services import look_at
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import add_card, promote, styles_card

API = "/api/v1"
YESTERDAY = timedelta(days=-1)


class Covered(Crowd):
    """Accepted images of a delivery, under a contract."""

    def __init__(self, rt: Runtime) -> None:
        super().__init__(rt)
        wire(rt)
        self.contract_id = self.contract(b"we agree")
        with rt.db.begin() as conn:
            new = NewDelivery("A shop", "spring", Rights.CONSENT, self.contract_id, handed_over=True)
            self.delivery_id: int = deliveries.open_delivery(conn, new, None, clock.now()).id

    def contract(self, document: bytes, allows: tuple[Use, ...] = tuple(Use)) -> int:
        new = NewContract(Rights.CONSENT, "a consent", None, None, allows)
        return contracts.add_contract(self.rt, "A shop", new, document, "consent.pdf", None)

    def accept_covered(self, count: int, *, first: int = 0) -> list[int]:
        images = self.accept(count, first=first)
        of_the_contract = {"contract_id": self.contract_id, "delivery_id": self.delivery_id}
        with self.rt.db.begin() as conn:
            conn.execute(sa.update(Image).where(Image.id.in_(images)).values(of_the_contract))
        return images

    def run_out(self, last_day: date | None = None) -> None:
        ended = last_day or clock.now().date() + YESTERDAY
        with self.rt.db.begin() as conn:
            statement = sa.update(Contract).where(Contract.id == self.contract_id)
            conn.execute(statement.values(valid_to=ended))

    def settle(self, contract_id: int, actor: Actor) -> int:
        return deliveries.settle_rights(self.rt, self.delivery_id, contract_id, actor, "renewed")

    def freeze(self, name: str) -> AnyRow:
        return service.create_release(
            self.rt.db, name, taxonomy_id=self.taxonomy_id, by=None, now=clock.now()
        )

    def looked_at(self, release: AnyRow) -> AnyRow:
        service.revise(self.rt.db, release.id, clock.now())
        with self.rt.db.read() as conn:
            return service.find_release(conn, release.id)

    def states(self, images: list[int]) -> list[ImageState]:
        statement = sa.select(Image.state).where(Image.id.in_(images)).order_by(Image.id)
        with self.rt.db.read() as conn:
            return list(conn.execute(statement).scalars())

    def newest_event(self, image_id: int) -> tuple[What, Mapping[str, Any]]:
        statement = sa.select(ImageEvent.what, ImageEvent.why).where(ImageEvent.image_id == image_id)
        with self.rt.db.read() as conn:
            row = conn.execute(statement.order_by(ImageEvent.id.desc()).limit(1)).one()
        return row.what, row.why


@pytest.fixture
def covered(rt: Runtime) -> Covered:
    return Covered(rt)


@pytest.fixture
def admin(make_worker: MakeWorker) -> Actor:
    person_id, _ = make_worker(Grade.ADMIN)
    return Actor(person_id, "admin", Grade.ADMIN, suspended=False, via="token")


def test_a_contract_that_ran_out_leaves_tombstones_before_anything_is_swept(covered: Covered) -> None:
    images = covered.accept_covered(3)
    (free,) = covered.accept(1, first=3)
    first = covered.freeze("first")
    covered.run_out()
    found = covered.looked_at(first)
    assert (found.images, found.withdrawn, found.revision) == (1, 3, 2)
    with covered.rt.db.read() as conn:
        assert [row.image_id for row in queries.tombstones(conn, first.id, after=0, limit=9)] == images
    with covered.rt.db.snapshot() as conn:
        assert [row.id for row in queries.accepted_images(conn, clock.now().date())] == [free]
    assert covered.freeze("second").images == 1
    assert contracts.sweep_ended(covered.rt) == 3
    assert covered.looked_at(first).revision == 2, "what is buried is not buried again"


def test_of_a_contract_that_was_withdrawn_nothing_is_released_while_upkeep_is_away(covered: Covered) -> None:
    covered.accept_covered(2)
    first = covered.freeze("first")
    with covered.rt.db.begin() as conn:
        contracts.withdraw(conn, covered.contract_id, None, None, "taken back")
    assert covered.looked_at(first).images == 0
    with pytest.raises(Conflict, match="nothing to release"):
        covered.freeze("second")


def test_the_last_day_of_a_contract_is_a_day_of_it(covered: Covered) -> None:
    covered.accept_covered(2)
    covered.run_out(clock.now().date())
    assert covered.looked_at(covered.freeze("first")).images == 2


def test_a_renewal_brings_accepted_images_back_for_the_next_release(covered: Covered, admin: Actor) -> None:
    images = covered.accept_covered(3)
    first = covered.freeze("first")
    covered.run_out()
    contracts.sweep_ended(covered.rt)
    assert covered.states(images) == [ImageState.HELD] * 3
    with covered.rt.db.read() as conn:
        held_for = {
            each["code"]: each["files"] for each in deliveries.report(conn, covered.delivery_id)["reasons"]
        }
    assert held_for == {"rights_expired": 3}
    assert covered.settle(covered.contract(b"once more"), admin) == 3
    assert covered.states(images) == [ImageState.ACCEPTED] * 3
    what, why = covered.newest_event(images[0])
    assert (what, why["reason"], why["comment"]) == (What.ACCEPTED, "rights_settled", "renewed")
    assert covered.freeze("second").images == 3
    assert covered.looked_at(first).images == 0, "a tombstone stays"


def test_a_renewal_takes_work_up_where_it_stood(covered: Covered, admin: Actor) -> None:
    (image,) = covered.accept_covered(1)
    with covered.rt.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id == image).values(state=ImageState.IN_WORK))
        conn.execute(
            sa.insert(Task).values(
                image_id=image, stage=Stage.STYLES, round=1, seat=0, state=TaskState.READY, opened_at=THEN
            )
        )
    covered.run_out()
    assert contracts.sweep_ended(covered.rt) == 1
    assert contracts.sweep_ended(covered.rt) == 0
    assert covered.settle(covered.contract(b"once more"), admin) == 1
    with covered.rt.db.read() as conn:
        tasks = conn.execute(sa.select(Task.stage, Task.round, Task.state).order_by(Task.id)).all()
    assert [tuple(task) for task in tasks] == [
        (Stage.STYLES, 1, TaskState.CLOSED),
        (Stage.STYLES, 2, TaskState.READY),
    ]


def test_a_renewal_lets_nothing_in_that_was_held_for_something_else(covered: Covered, admin: Actor) -> None:
    (image,) = covered.accept_covered(1)
    with covered.rt.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id == image).values(state=ImageState.HELD))
        conn.execute(
            sa.text("INSERT INTO findings (image_id, code, detail, action) VALUES (:id, 'collage', '', 2)"),
            {"id": image},
        )
    covered.run_out()
    contracts.sweep_ended(covered.rt)
    assert covered.settle(covered.contract(b"once more"), admin) == 0
    assert covered.states([image]) == [ImageState.HELD]


def test_a_service_says_nothing_of_an_image_whose_contract_has_ended(
    covered: Covered, client: Client, make_worker: MakeWorker, bearer: Bearer, tmp_path: Path
) -> None:
    model_id = add_card(covered.rt, tmp_path, styles_card())
    promote(covered.rt, model_id)
    (image,) = covered.accept_covered(1)
    look_at(covered.rt, model_id, image)
    covered.freeze("first")
    person = bearer(make_worker(Grade.ADMIN)[1])
    assert client.get(f"{API}/services/styles/images/{image}", headers=person).status_code == 200
    covered.run_out()
    refused = client.get(f"{API}/services/styles/images/{image}", headers=person)
    assert (refused.status_code, refused.json["code"]) == (403, "rights_ended")


def test_an_export_is_not_handed_out_once_a_contract_has_ended(
    covered: Covered, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    covered.accept_covered(2)
    covered.accept(1, first=2)
    release = covered.freeze("first")
    person = bearer(make_worker(Grade.ADMIN)[1])
    ordered = client.post(f"{API}/releases/{release.id}/exports", json={"format": "coco"}, headers=person)
    run_exports(covered.rt)
    download = f"{ordered.json['job']['url']}/download"
    assert client.get(download, headers=person).data[:2] == b"PK"
    covered.run_out()
    assert client.get(download, headers=person).json["code"] == "not_done"


def test_models_do_not_learn_from_what_no_contract_lets_them(covered: Covered, tmp_path: Path) -> None:
    first = covered.accept_covered(20)
    limited = covered.contract(b"show, but do not train", (Use.LABELLING, Use.RELEASE))
    barred = first[::4]
    unknown = covered.accept(1, first=20)
    with covered.rt.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id.in_(barred)).values(contract_id=limited))
        conn.execute(sa.update(Image).where(Image.id.in_(unknown)).values(rights=Rights.UNKNOWN))
    folder = tmp_path / "out"
    release = covered.freeze("first")
    with covered.rt.db.read() as conn:
        plan = service.plan(conn, covered.rt, release.id, "kfashion", None)
    write_export(covered.rt.db, covered.rt.storage, plan, Place(folder, link=False), lambda _: None)
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
        listed = {int(row["id"]): row["training"] for row in csv.DictReader(file)}
    assert {number for number, may in listed.items() if may == "no"} == {*barred, *unknown}
    assert {number for number, may in listed.items() if may == "yes"} == {*first} - {*barred}
    assert "6 images: `training` is `no`" in (folder / README).read_text()
    data = read_folder(folder, covered.rt.taxonomy)
    assert {sample.id for sample in data.samples} == {*first} - {*barred}
    assert data.barred == 6


def test_an_export_begun_with_another_list_is_written_anew(covered: Covered, tmp_path: Path) -> None:
    covered.accept_covered(3)
    release = covered.freeze("first")
    with covered.rt.db.read() as conn:
        plan = service.plan(conn, covered.rt, release.id, "kfashion", None)

    def written(folder: Path) -> bytes:
        write_export(covered.rt.db, covered.rt.storage, plan, Place(folder, link=False), lambda _: None)
        return (folder / MANIFEST).read_bytes()

    whole = written(tmp_path / "whole")
    torn = tmp_path / "torn"
    written(torn)
    lines = (torn / MANIFEST).read_text().splitlines()
    (torn / MANIFEST).unlink()
    (torn / JOURNAL).write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    assert written(torn) == whole
