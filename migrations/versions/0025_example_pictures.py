"""Example pictures: which image shows which value, and who chose it"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | Sequence[str] | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ACTIVE = sa.text("active")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "examples",
        sa.Column("id", ID, nullable=False),
        sa.Column("facet", sa.String(length=80), nullable=False),
        sa.Column("value", sa.String(length=120), nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("caption_en", sa.Text(), nullable=False),
        sa.Column("caption_ko", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_examples_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_examples")),
    )
    for name, column in (("uq_examples_place", "place"), ("uq_examples_image", "image_id")):
        op.create_index(
            name,
            "examples",
            ["facet", "value", column],
            unique=True,
            sqlite_where=ACTIVE,
            postgresql_where=ACTIVE,
        )
    op.create_table(
        "example_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("example_id", ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["example_id"], ["examples.id"], name=op.f("fk_example_events_example_id_examples")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_example_events_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_example_events")),
    )
    op.create_index(op.f("ix_example_events_example_id"), "example_events", ["example_id"])
    _make_append_only("example_events")


def downgrade() -> None:
    """Take back."""
    op.drop_table("example_events")
    op.drop_table("examples")


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
