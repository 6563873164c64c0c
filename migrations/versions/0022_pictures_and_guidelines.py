"""Working images made anew; guidelines and taxonomies that admins edit"""

from collections.abc import Sequence

from alembic import op

revision: str = "0022"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    # Written out: Alembic would copy the whole table on SQLite, and lose its triggers.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE images ADD COLUMN IF NOT EXISTS picture BYTEA")
    else:
        op.execute("ALTER TABLE images ADD COLUMN picture BLOB")


def downgrade() -> None:
    """Take back."""
    op.execute("ALTER TABLE images DROP COLUMN picture")
