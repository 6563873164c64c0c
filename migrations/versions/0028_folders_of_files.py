"""Images know the folder that their file lay in, so that two files of one name are told apart"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.add_column("images", sa.Column("folder", sa.String(length=255), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("images", "folder")
