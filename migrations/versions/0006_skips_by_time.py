"""A claim reads the skips that hold now, not all there ever were"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME, _CONDITION = "ix_misses_skipped", sa.text("skip_until IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    _exchange("worker_id", "skip_until", "task_id")


def downgrade() -> None:
    """Undo."""
    _exchange("worker_id", "task_id")


def _exchange(*columns: str) -> None:
    op.drop_index(_NAME, "misses")
    op.create_index(_NAME, "misses", columns, sqlite_where=_CONDITION, postgresql_where=_CONDITION)
