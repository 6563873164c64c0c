"""Indexes for claims that stay flat: what came back, what somebody skipped, and no two that look alike"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ADDED = (
    (
        "ix_tasks_returned",
        "tasks",
        ["stage", "bounced", "priority", "id"],
        "state = 0 AND reserved_for IS NULL AND token > 0",
    ),
    ("ix_tasks_reserved_until", "tasks", ["reserved_until"], "state = 0 AND reserved_until IS NOT NULL"),
    ("ix_tasks_lease_until", "tasks", ["lease_until"], "lease_until IS NOT NULL"),
    ("ix_misses_skipped", "misses", ["worker_id", "task_id"], "skip_until IS NOT NULL"),
)
REMOVED = (
    ("ix_tasks_reserved_until", "tasks", ["reserved_until"], "state = 0 AND reserved_for IS NOT NULL"),
    ("ix_tasks_lease_until", "tasks", ["lease_until"], "state = 1"),
    ("ix_tasks_leased_stage", "tasks", ["stage"], "state = 1"),
)


def upgrade() -> None:
    """Apply."""
    _exchange(REMOVED, ADDED)


def downgrade() -> None:
    """Undo."""
    _exchange(ADDED, REMOVED)


def _exchange(
    old: Sequence[tuple[str, str, list[str], str]], new: Sequence[tuple[str, str, list[str], str]]
) -> None:
    for name, table, _, _ in old:
        op.drop_index(name, table)
    for name, table, columns, where in new:
        condition = sa.text(where)
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
