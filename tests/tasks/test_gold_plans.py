"""What a claim reads with hidden gold does not grow with the queue, nor with the pool: plans at two sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from benchmarks.queue import people
from benchmarks.queue.plans import Bill, explain_claim
from crowd.core import clock
from crowd.gold.dealing import PATIENCE, Dealer
from crowd.gold.models import GoldItem, GoldSeat, Origin
from crowd.images.models import Image, ImageState
from crowd.ml.serving import Shelf
from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.tasks import shadows
from crowd.tasks.leases import Claimant
from crowd.tasks.marks import MarkBook
from crowd.tasks.models import Purpose, Task, TaskState
from tests.tasks.places import CLAIMS, Place, assert_flat, clean, is_search

STAGE = Stage.ATTRIBUTES
AT_THE_HEAD = 3
OUTLINE = {"regions": [{"id": "r1", "part": "top", "rings": [[[0, 0], [9, 0], [9, 9]]], "box": [0, 0, 9, 9]}]}
# A person's own claims that are looked through for the last one at the stage, put in order.
OWN_CLAIMS = 20


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("waited", [0, PATIENCE], ids=["patient", "impatient"])
def test_a_claim_that_meets_gold_reads_no_more_in_a_longer_queue_with_a_larger_pool(
    built_places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch, waited: int, generic: bool
) -> None:
    worker = people.of_grade(built_places[0].built.seed, Grade.GENERAL)[4].id
    bills = []
    for place in built_places:
        with hidden_gold(place, worker):
            bills.append(deal(place, worker, monkeypatch, waited, generic=generic))
    read = {node.relation for plan in bills[1].plans for node in plan.nodes}
    assert {"gold_items", "gold_seats", "images"} <= read
    # In the shorter queue they have not had so many tasks yet.
    assert_flat(*bills, sorted_rows=OWN_CLAIMS, looked_up=0 if waited else OWN_CLAIMS)


def deal(place: Place, worker: int, patch: pytest.MonkeyPatch, waited: int, *, generic: bool) -> Bill:
    """The smallest bill of a few claims to which gold is due, without the search for the work it replaces.

    Gold is met where nobody waits any longer.
    """
    policy = all_gold()
    dealer = Dealer(policy, Shelf(), dice=lambda: 0.5)
    patch.setattr(shadows, "STAND_INS", [dealer.stand_in])
    claimant, book = Claimant(worker, place.built.taxonomy_id), MarkBook(pause=0.0)
    bills = []
    for _ in range(CLAIMS):
        dealer._due[worker, STAGE] = waited
        found, bill = explain_claim(place.db, claimant, policy, book, STAGE, generic=generic)
        assert isinstance(found, sa.Row)
        assert not waited or found.purpose is Purpose.GOLD
        bills.append(Bill(tuple(plan for plan in bill.plans if not is_search(plan))))
    return min(bills, key=lambda bill: bill.buffers)


def all_gold() -> Policy:
    policy = load_policy()
    return replace(policy, gold=replace(policy.gold, share_percent=100.0, new_share_percent=100.0))


@contextmanager
def hidden_gold(place: Place, worker: int) -> Iterator[None]:
    """Slots before the head of the queue and among it, and a pool a part of which the person has met.

    What was bounced is away meanwhile: it comes first, and nothing stands in for it.
    """
    ready = (Task.stage == STAGE, Task.state == TaskState.READY)
    new = (*ready, Task.bounced == sa.false(), Task.reserved_for.is_(None))
    with place.db.begin() as conn:
        head = conn.execute(
            sa.select(Task.id).where(*new).order_by(Task.priority, Task.id).limit(AT_THE_HEAD)
        ).scalars()
        chosen = sa.or_(Task.id.in_(list(head)), Task.id % 7 == 0)
        slots = conn.execute(sa.select(Task.id, Task.image_id).where(*new, chosen)).all()
        away = conn.execute(
            sa.select(Task.id).where(*ready, sa.or_(Task.bounced, Task.reserved_for.is_not(None)))
        ).scalars()
        put_away = list(away)
        move(conn, [row.id for row in slots], TaskState.CLOSED, Purpose.SLOT)
        move(conn, put_away, TaskState.CLOSED, Purpose.WORK)
        move_images(conn, [row.image_id for row in slots], ImageState.SPARE)
        put_aside(conn)
        fill_pool(conn, place, worker)
    clean(place, "tasks, images, gold_items, gold_seats")
    yield
    with place.db.begin() as conn:
        conn.execute(sa.delete(GoldSeat))
        conn.execute(sa.delete(GoldItem))
        move(conn, [row.id for row in slots], TaskState.READY, Purpose.WORK)
        move(conn, put_away, TaskState.READY, Purpose.WORK)
        move_images(conn, [row.image_id for row in slots], ImageState.IN_WORK)
    clean(place, "tasks, images, gold_items, gold_seats")


def move(conn: sa.Connection, task_ids: list[int], state: TaskState, purpose: Purpose) -> None:
    conn.execute(sa.update(Task).where(Task.id.in_(task_ids)).values(state=state, purpose=purpose))


def move_images(conn: sa.Connection, image_ids: list[int], state: ImageState) -> None:
    conn.execute(sa.update(Image).where(Image.id.in_(image_ids)).values(state=state))


def put_aside(conn: sa.Connection) -> None:
    """Two spare numbers for five images, as intake puts them aside: of a handful all would be looked through.

    They stay: no other test looks at them, and to delete an image takes its time.
    """
    spare = sa.select(sa.func.count()).where(Image.state == ImageState.SPARE)
    images: int = conn.execute(sa.select(sa.func.count()).select_from(Image)).scalar_one()
    if conn.execute(spare).scalar_one() > images / 5:
        return
    own = {"state": sa.literal(ImageState.SPARE, Image.state.type), "duplicate_of": Image.id}
    columns = {column.name: column for column in sa.inspect(Image).local_table.columns if column.name != "id"}
    copied = [own.get(name, column) for name, column in columns.items()]
    conn.execute(sa.insert(Image).from_select(list(columns), sa.select(*copied).where(Image.id % 5 < 2)))


def fill_pool(conn: sa.Connection, place: Place, worker: int) -> None:
    """Every fourth accepted image is gold, and the person has met every third of it, as others have."""
    accepted = sa.select(Image.id).where(Image.state == ImageState.ACCEPTED, Image.id % 4 == 0)
    images = list(conn.execute(accepted.order_by(Image.id)).scalars())
    common = {
        "stage": STAGE,
        "taxonomy_id": place.built.taxonomy_id,
        "labels": {"segmentation": OUTLINE},
        "answer": {"regions": {"r1": {"color": "black"}}},
        "origin": Origin.ADMIN,
        "active": True,
        "created_at": clock.now(),
    }
    spread = 2**31 // len(images)
    items = [{**common, "image_id": image, "place": nth * spread} for nth, image in enumerate(images)]
    conn.execute(sa.insert(GoldItem), items)
    pool = conn.execute(sa.select(GoldItem.id, GoldItem.image_id).order_by(GoldItem.id)).all()
    done = conn.execute(sa.select(Task.id).where(Task.state == TaskState.DONE).limit(len(pool))).scalars()
    seats = [
        {
            "task_id": task_id,
            "gold_id": item.id,
            "image_id": item.image_id,
            "worker_id": worker if nth % 3 == 0 else 1 + nth % 400,
            "purpose": Purpose.GOLD,
            "given_at": clock.now(),
        }
        for nth, (item, task_id) in enumerate(zip(pool, done, strict=False))
    ]
    conn.execute(sa.insert(GoldSeat), seats)
