"""Suppliers' logins, contracts, deliveries; findings with their numbers; fingerprints for what looks alike"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("contract_events", "delivery_steps", "delivery_refusals")
# In the order in which they may go.
TABLES = (
    "fingerprints",
    "delivery_refusals",
    "delivery_steps",
    "deliveries",
    "contract_events",
    "contracts",
    "supplier_people",
)
# Table, column, type with its default on both databases, the table that it refers to.
COLUMNS = (
    ("workers", "kind", "SMALLINT DEFAULT 0 NOT NULL", None),
    ("images", "contract_id", None, "contracts"),
    ("images", "delivery_id", None, "deliveries"),
    ("images", "waiting", "BOOLEAN DEFAULT {false} NOT NULL", None),
    ("images", "faces", "SMALLINT", None),
    ("findings", "action", "SMALLINT DEFAULT 1 NOT NULL", None),
    ("findings", "numbers", "{json}", None),
    ("findings", "limits", "{json}", None),
)
BANDS = ("band0", "band1", "band2", "band3")


def upgrade() -> None:
    """Apply."""
    _contracts()
    _deliveries()
    _fingerprints()
    for table, column, kind, other in COLUMNS:
        _add_column(table, column, kind, other)
    for name, columns in (
        ("ix_images_contract", ["contract_id", "id"]),
        ("ix_images_delivery", ["delivery_id", "id"]),
    ):
        condition = sa.text(f"{columns[0]} IS NOT NULL")
        op.create_index(name, "images", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_index(
        "ix_images_waiting",
        "images",
        ["delivery_id", "id"],
        sqlite_where=sa.text("waiting = 1"),
        postgresql_where=sa.text("waiting"),
    )
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_images_contract", "images")
    op.drop_index("ix_images_delivery", "images")
    op.drop_index("ix_images_waiting", "images")
    for table, column, _, _ in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for table in TABLES:
        op.drop_table(table)


def _add_column(table: str, column: str, kind: str | None, other: str | None) -> None:
    # Written out: Alembic would copy the whole table on SQLite, and lose its triggers.
    on_postgresql = _on_postgresql()
    words = {"false": "false", "json": "JSONB"} if on_postgresql else {"false": "0", "json": "JSON"}
    # There from an upgrade that was broken off; SQLite takes such a one back as a whole.
    new = "ADD COLUMN IF NOT EXISTS" if on_postgresql else "ADD COLUMN"
    if other is None:
        assert kind is not None
        op.execute(f"ALTER TABLE {table} {new} {column} {kind.format(**words)}")
        return
    number = "BIGINT" if on_postgresql else "INTEGER"
    key = f"CONSTRAINT fk_{table}_{column}_{other} REFERENCES {other} (id)"
    op.execute(f"ALTER TABLE {table} {new} {column} {number} {key}")


def _contracts() -> None:
    op.create_table(
        "supplier_people",
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("supplier_id", ID, nullable=False),
        _reference("supplier_people", "worker_id", "workers"),
        _reference("supplier_people", "supplier_id", "suppliers"),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_supplier_people")),
    )
    op.create_table(
        "contracts",
        sa.Column("id", ID, nullable=False),
        sa.Column("supplier_id", ID, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("file_key", sa.String(length=200), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("allows", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("withdrawn_at", MOMENT, nullable=True),
        sa.Column("swept_at", MOMENT, nullable=True),
        _reference("contracts", "supplier_id", "suppliers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contracts")),
    )
    declared = sa.text("file_key IS NULL AND withdrawn_at IS NULL")
    op.create_index(
        "uq_contracts_declared",
        "contracts",
        ["supplier_id", "kind"],
        unique=True,
        sqlite_where=declared,
        postgresql_where=declared,
    )
    op.create_table(
        "contract_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("contract_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        _reference("contract_events", "contract_id", "contracts"),
        _reference("contract_events", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract_events")),
    )
    op.create_index("ix_contract_events_contract", "contract_events", ["contract_id", "id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("supplier_id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("rights", sa.SmallInteger(), nullable=False),
        sa.Column("contract_id", ID, nullable=True),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        _reference("deliveries", "supplier_id", "suppliers"),
        _reference("deliveries", "contract_id", "contracts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("supplier_id", "name", name="uq_deliveries_name"),
    )
    op.create_table(
        "delivery_steps",
        sa.Column("id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        _reference("delivery_steps", "delivery_id", "deliveries"),
        _reference("delivery_steps", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_steps")),
    )
    op.create_index("ix_delivery_steps_delivery", "delivery_steps", ["delivery_id", "id"])
    op.create_table(
        "delivery_refusals",
        sa.Column("id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        _reference("delivery_refusals", "delivery_id", "deliveries"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_refusals")),
        sa.UniqueConstraint("delivery_id", "file_name", "code", name="uq_delivery_refusals_file"),
    )


def _fingerprints() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("pixels_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("phash", sa.BigInteger(), nullable=True),
        *(sa.Column(band, sa.SmallInteger(), nullable=True) for band in BANDS),
        sa.Column("colours", sa.LargeBinary(length=192), nullable=True),
        _reference("fingerprints", "image_id", "images"),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_fingerprints")),
        sa.UniqueConstraint("pixels_sha256", name=op.f("uq_fingerprints_pixels_sha256")),
    )
    for band in BANDS:
        # With hash and id in it, a search reads the index alone.
        op.create_index(f"ix_fingerprints_{band}", "fingerprints", [band, "phash", "image_id"])


def _reference(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"))


def _make_append_only(table: str) -> None:
    if _on_postgresql():
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


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
