"""Indexes of the tasks that came back into the queue, and of one person's leases"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RETURNED = sa.text("state = 0 AND reserved_for IS NULL AND token > 0")
LEASED = sa.text("state = 1")


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_tasks_returned",
        "tasks",
        ["stage", "bounced", "priority", "id"],
        sqlite_where=RETURNED,
        postgresql_where=RETURNED,
    )
    _index_leased("worker_id", "lease_until")


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_tasks_returned", "tasks")
    _index_leased("worker_id")


def _index_leased(*columns: str) -> None:
    op.drop_index("ix_tasks_leased", "tasks")
    op.create_index("ix_tasks_leased", "tasks", list(columns), sqlite_where=LEASED, postgresql_where=LEASED)
