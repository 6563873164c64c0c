"""Images that nobody may judge are drawn anew; an auditor signs the same state of things once"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | Sequence[str] | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

STANDING = "uq_audit_signatures_standing"


def upgrade() -> None:
    """Apply."""
    op.add_column("audits", sa.Column("replaced", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "audit_images", sa.Column("replaced", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    # Signatures from before stay as they are, be there several of the same: nulls equal nothing.
    for name in ("turns", "void"):
        op.add_column("audit_signatures", sa.Column(name, sa.Integer(), nullable=True))
    columns = ["audit_id", "worker_id", "turns", "judged", "void"]
    op.create_index(STANDING, "audit_signatures", columns, unique=True)


def downgrade() -> None:
    """Take back."""
    op.drop_index(STANDING, table_name="audit_signatures")
    for name in ("turns", "void"):
        op.drop_column("audit_signatures", name)
    op.drop_column("audit_images", "replaced")
    op.drop_column("audits", "replaced")
