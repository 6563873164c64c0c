"""Drafts: how far somebody got with a task"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from crowd.core.db import Json, UtcDateTime

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "drafts",
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_drafts_worker_id_workers")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_drafts_task_id_tasks")),
        sa.PrimaryKeyConstraint("worker_id", "task_id", name=op.f("pk_drafts")),
    )
    op.create_index("ix_drafts_saved_at", "drafts", ["saved_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_drafts_saved_at", "drafts")
    op.drop_table("drafts")
