"""Votes on hard styles can be appealed; of an image and stage one gold item is in the pool at a time"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | Sequence[str] | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What the columns hold: of causes `split` is 1, of what happens to gold `retired`.
_SPLIT, _RETIRED = "1", 1

_ITEMS = sa.table(
    "gold_items", sa.column("id"), sa.column("image_id"), sa.column("stage"), sa.column("active", sa.Boolean)
)
_EVENTS = sa.table(
    "gold_events",
    sa.column("gold_id"),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("step"),
    sa.column("reason", sa.Text),
)


def upgrade() -> None:
    """Apply."""
    # Written out: Alembic would copy the whole table on SQLite.
    op.execute(f"ALTER TABLE rechecks ADD COLUMN cause SMALLINT DEFAULT '{_SPLIT}' NOT NULL")
    _retire_older()
    is_active = sa.text("active")
    op.create_index(
        "uq_gold_items_active",
        "gold_items",
        ["image_id", "stage"],
        unique=True,
        sqlite_where=is_active,
        postgresql_where=is_active,
    )


def _retire_older() -> None:
    """Of several items of an image and stage the newest stays: whoever made it meant it to hold."""
    conn, newer = op.get_bind(), _ITEMS.alias("newer")
    has_newer = sa.exists(
        sa.select(newer.c.id).where(
            newer.c.image_id == _ITEMS.c.image_id,
            newer.c.stage == _ITEMS.c.stage,
            newer.c.active,
            newer.c.id > _ITEMS.c.id,
        )
    )
    older = list(conn.execute(sa.select(_ITEMS.c.id).where(_ITEMS.c.active, has_newer)).scalars())
    why = "a newer item of the same image and stage is in the pool"
    # SQLite keeps moments without a zone, in UTC.
    now = datetime.now(UTC).replace(tzinfo=None if conn.dialect.name == "sqlite" else UTC)
    for gold_id in older:
        conn.execute(sa.update(_ITEMS).where(_ITEMS.c.id == gold_id).values(active=False))
        conn.execute(sa.insert(_EVENTS).values(gold_id=gold_id, at=now, step=_RETIRED, reason=why))


def downgrade() -> None:
    """Take back."""
    op.drop_index("uq_gold_items_active", "gold_items")
    op.execute("ALTER TABLE rechecks DROP COLUMN cause")
