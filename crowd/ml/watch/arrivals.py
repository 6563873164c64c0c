"""What a model first says of the images that come in, counted by supplier and week as it says it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT
from crowd.images.models import Image, Supplier
from crowd.ml.watch.drift import Drift, drift
from crowd.ml.watch.models import Arrival
from crowd.ml.watch.sayings import first_answers
from crowd.tasks.models import Task

MOST_ANSWER = 130


class Delivery(NamedTuple):
    """A supplier's images of one ISO week (202647)."""

    supplier_id: int
    supplier: str
    week: int


def count(conn: Connection, model_id: int, made: Mapping[int, Any]) -> None:
    """Add a batch of candidates (task → candidates), in the transaction that keeps them.

    Candidates that two job workers made at once are counted twice: rare, and of no account for a share.
    """
    rows = conn.execute(
        sa.select(Task.id, Task.stage, Image.supplier_id, Image.created_at)
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(Task.id.in_(sorted(made)))
    ).all()
    counts: Counter[tuple[int, int, str]] = Counter()
    for row in rows:
        year, week, _ = row.created_at.isocalendar()
        for answer in set(first_answers(row.stage, made[row.id])):
            counts[row.supplier_id, 100 * year + week, answer[:MOST_ANSWER]] += 1
    if not counts:
        return
    insert = INSERT[conn.dialect.name](Arrival)
    grown = {"images": Arrival.images + insert.excluded.images}
    # In the order of the keys: two batches that meet at the same rows wait, and never for each other.
    values = [
        {"model_id": model_id, "supplier_id": key[0], "week": key[1], "answer": key[2], "images": counts[key]}
        for key in sorted(counts)
    ]
    conn.execute(
        insert.on_conflict_do_update(index_elements=list(Arrival.__table__.primary_key), set_=grown), values
    )


def deliveries(conn: Connection, model_id: int) -> dict[Delivery, Drift]:
    """How each supplier's weeks differ from all else that the model saw; those with enough images."""
    rows = conn.execute(
        sa.select(Arrival.supplier_id, Supplier.name, Arrival.week, Arrival.answer, Arrival.images)
        .join_from(Arrival, Supplier, Supplier.id == Arrival.supplier_id)
        .where(Arrival.model_id == model_id)
        .order_by(Arrival.supplier_id, Arrival.week)
    ).all()
    total: Counter[str] = Counter()
    parts: dict[Delivery, Counter[str]] = defaultdict(Counter)
    for row in rows:
        parts[Delivery(row.supplier_id, row.name, row.week)][row.answer] += row.images
        total[row.answer] += row.images
    found = {key: _drift(here, total - here) for key, here in parts.items()}
    return {key: each for key, each in found.items() if each is not None}


def _drift(here: Counter[str], elsewhere: Counter[str]) -> Drift | None:
    """Question by question, since each image answers several: the one that moved most beyond chance."""
    questions = {answer.partition(":")[0] for answer in here}
    found = [
        each
        for question in questions
        if (each := drift(_about(question, here), _about(question, elsewhere))) is not None
    ]
    return max(found, key=lambda each: (each.is_shift, each.index)) if found else None


def _about(question: str, counts: Counter[str]) -> dict[str, int]:
    return {answer: count for answer, count in counts.items() if answer.partition(":")[0] == question}
