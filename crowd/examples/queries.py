"""All SQL about example pictures."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.examples.models import Example, ExampleEvent, Step
from crowd.gold.models import GoldItem
from crowd.images.delivery_models import Contract
from crowd.images.models import Image, ImageState
from crowd.policy import Stage
from crowd.tasks.models import Task
from crowd.tasks.queries import LEASED

STYLES = Stage.STYLES.value

_COLUMNS = (Example.id, Example.facet, Example.value, Example.caption_en, Example.caption_ko)


def shown_to(
    conn: Connection,
    worker_id: int,
    today: date,
    *,
    stage: Stage | None = None,
    example_id: int | None = None,
    after: int = 0,
    limit: int = 1,
) -> Sequence[AnyRow]:
    """The examples that this person may see now, of a stage or one of them, by id beyond `after`.

    None whose picture they have before them in a task, whatever number it has there.
    """
    statement = (
        _with_image(*_COLUMNS, Example.image_id, Image.width, Image.height, Image.picture)
        .where(
            Example.active,
            _stands(),
            _in_rights(today),
            ~_is_gold(),
            Example.image_id.not_in(_at_hand(worker_id)),
            Example.id > after,
        )
        .order_by(Example.id)
        .limit(limit)
    )
    if stage is not None:
        is_style = Example.facet == STYLES
        statement = statement.where(is_style if stage is Stage.STYLES else ~is_style)
    if example_id is not None:
        statement = statement.where(Example.id == example_id)
    return conn.execute(statement).all()


def chosen(
    conn: Connection,
    today: date,
    *,
    facet: str | None = None,
    value: str | None = None,
    example_id: int | None = None,
    after: int = 0,
    limit: int = 1,
) -> Sequence[AnyRow]:
    """Examples that were not taken away, by id: with who chose them, and what keeps them from being seen."""
    statement = (
        _with_image(
            *_COLUMNS,
            Example.image_id,
            Image.width,
            Image.height,
            Image.picture,
            Example.active,
            ExampleEvent.at,
            Worker.username.label("by"),
            _stands().label("stands"),
            _in_rights(today).label("in_rights"),
            _is_gold().label("is_gold"),
        )
        .join(
            ExampleEvent,
            sa.and_(ExampleEvent.example_id == Example.id, ExampleEvent.step == Step.ADDED),
        )
        .join(Worker, Worker.id == ExampleEvent.worker_id)
        .where(Example.id > after)
        .order_by(Example.id)
        .limit(limit)
    )
    if example_id is None:
        statement = statement.where(Example.active)
    else:
        statement = statement.where(Example.id == example_id)
    for column, wanted in ((Example.facet, facet), (Example.value, value)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return conn.execute(statement).all()


def events_of(conn: Connection, example_id: int) -> Sequence[AnyRow]:
    """What was done with an example, oldest first."""
    return conn.execute(
        sa.select(ExampleEvent.at, ExampleEvent.step, ExampleEvent.reason, Worker.username.label("by"))
        .join(Worker, Worker.id == ExampleEvent.worker_id)
        .where(ExampleEvent.example_id == example_id)
        .order_by(ExampleEvent.id)
    ).all()


def places_of(conn: Connection, facet: str, value: str) -> dict[int, int]:
    """The image in each place of a value that is taken."""
    rows = conn.execute(
        sa.select(Example.place, Example.image_id).where(
            Example.facet == facet, Example.value == value, Example.active
        )
    )
    return {row.place: row.image_id for row in rows}


def is_gold(conn: Connection, image_id: int) -> bool:
    """Whether people may meet the image as a task with a known answer."""
    found = sa.select(sa.exists().where(GoldItem.image_id == image_id, GoldItem.active))
    return conn.execute(found).scalar_one()


def add(conn: Connection, **values: Any) -> int:
    """A new example; its id. Raises IntegrityError where the place was taken meanwhile."""
    with conn.begin_nested():
        added: int = conn.execute(
            sa.insert(Example).values(**values, active=True).returning(Example.id)
        ).scalar_one()
    return added


def take_away(conn: Connection, example_id: int) -> bool:
    """The example shows nothing any more; False when it was taken away before."""
    gone = sa.update(Example).where(Example.id == example_id, Example.active).values(active=False)
    return conn.execute(gone).rowcount == 1


def add_event(
    conn: Connection, example_id: int, step: Step, worker_id: int, reason: str, at: datetime
) -> None:
    """Keep what was done with an example."""
    conn.execute(
        sa.insert(ExampleEvent).values(
            example_id=example_id, step=step, worker_id=worker_id, reason=reason, at=at
        )
    )


def _with_image(*columns: Any) -> AnySelect:
    return (
        sa.select(*columns)
        .join_from(Example, Image, Image.id == Example.image_id)
        .join(Contract, Contract.id == Image.contract_id, isouter=True)
    )


def _stands() -> sa.ColumnElement[bool]:
    """Whether the image is accepted, with the labels that it had when it was chosen."""
    return sa.and_(Image.state == ImageState.ACCEPTED, Image.round == Example.round)


def _in_rights(today: date) -> sa.ColumnElement[bool]:
    return sa.and_(
        Contract.withdrawn_at.is_(None),
        sa.or_(Contract.valid_to.is_(None), Contract.valid_to >= today),
    )


def _is_gold() -> sa.ColumnElement[bool]:
    return sa.exists().where(GoldItem.image_id == Example.image_id, GoldItem.active)


def _at_hand(worker_id: int) -> AnySelect:
    """The images before a person: a shadow seat shows another's picture."""
    numbered = sa.orm.aliased(Image)
    return (
        sa.select(sa.func.coalesce(numbered.duplicate_of, numbered.id))
        .join_from(Task, numbered, numbered.id == Task.image_id)
        .where(Task.state == LEASED, Task.worker_id == worker_id)
    )
