"""Gold: known answers, who has sat before them, and exams"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "gold_items",
        sa.Column("id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("task_id", ID, nullable=True),
        sa.Column("taxonomy_id", ID, nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("origin", sa.SmallInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        _reference("gold_items", "image_id", "images"),
        _reference("gold_items", "task_id", "tasks"),
        _reference("gold_items", "taxonomy_id", "taxonomies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gold_items")),
    )
    _index("ix_gold_items_active", "gold_items", ["stage", "place"], "active")
    _index("uq_gold_items_adjudicated", "gold_items", ["image_id", "stage"], "origin = 0", unique=True)
    op.create_index("ix_gold_items_image", "gold_items", ["image_id", "stage"])
    op.create_table(
        "gold_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("gold_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        _reference("gold_events", "gold_id", "gold_items"),
        _reference("gold_events", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gold_events")),
    )
    op.create_index(op.f("ix_gold_events_gold_id"), "gold_events", ["gold_id"])
    op.create_table(
        "exams",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("items", sa.SmallInteger(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        _reference("exams", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exams")),
    )
    op.create_index("ix_exams_worker", "exams", ["worker_id", "stage", "id"])
    _index("uq_exams_open", "exams", ["worker_id", "stage"], "ended_at IS NULL", unique=True)
    op.create_table(
        "gold_seats",
        sa.Column("task_id", ID, autoincrement=False, nullable=False),
        sa.Column("gold_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("purpose", sa.SmallInteger(), nullable=False),
        sa.Column("exam_id", ID, nullable=True),
        sa.Column("given_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("notes", JSON, nullable=True),
        _reference("gold_seats", "task_id", "tasks"),
        _reference("gold_seats", "gold_id", "gold_items"),
        _reference("gold_seats", "worker_id", "workers"),
        _reference("gold_seats", "image_id", "images"),
        _reference("gold_seats", "exam_id", "exams"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_gold_seats")),
    )
    op.create_index("uq_gold_seats_person", "gold_seats", ["worker_id", "image_id"], unique=True)
    op.create_index(op.f("ix_gold_seats_gold_id"), "gold_seats", ["gold_id"])
    _index("ix_gold_seats_exam", "gold_seats", ["exam_id"], "exam_id IS NOT NULL")
    _make_append_only("gold_events")


def downgrade() -> None:
    """Undo."""
    for table in ("gold_seats", "exams", "gold_events", "gold_items"):
        op.drop_table(table)


def _reference(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"))


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _make_append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
