"""The first tables"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# History is written once: the database itself refuses to change or remove these rows.
APPEND_ONLY = (
    "claims",
    "comments",
    "grade_events",
    "image_events",
    "labels",
    "release_images",
    "releases",
    "submissions",
)

POSTGRESQL_FUNCTION = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "batches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("name", name=op.f("uq_batches_name")),
    )
    op.create_table(
        "suppliers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppliers")),
        sa.UniqueConstraint("name", name=op.f("uq_suppliers_name")),
    )
    op.create_table(
        "taxonomies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "document",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=False,
        ),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxonomies")),
        sa.UniqueConstraint("digest", name=op.f("uq_taxonomies_digest")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("grade", sa.SmallInteger(), nullable=False),
        sa.Column("session_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sa.UniqueConstraint("username", name=op.f("uq_workers_username")),
    )
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.create_index("ix_workers_grade", ["grade"], unique=False)

    op.create_table(
        "api_tokens",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_api_tokens_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
    )
    with op.batch_alter_table("api_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_tokens_worker_id"), ["worker_id"], unique=False)

    op.create_table(
        "grade_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("old_grade", sa.SmallInteger(), nullable=True),
        sa.Column("new_grade", sa.SmallInteger(), nullable=False),
        sa.Column("actor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["workers.id"], name=op.f("fk_grade_events_actor_id_workers")),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_grade_events_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grade_events")),
    )
    with op.batch_alter_table("grade_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_grade_events_worker_id"), ["worker_id"], unique=False)

    op.create_table(
        "images",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("supplier_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("rights", sa.SmallInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("duplicate_of", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prepare_after", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_images_batch_id_batches")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["images.id"], name=op.f("fk_images_duplicate_of_images")),
        sa.ForeignKeyConstraint(
            ["supplier_id"], ["suppliers.id"], name=op.f("fk_images_supplier_id_suppliers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
    )
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.create_index("ix_images_state", ["state", "id"], unique=False)
        batch_op.create_index("ix_images_supplier_file", ["supplier_id", "file_name"], unique=False)
        batch_op.create_index(
            "ix_images_unprepared",
            ["prepare_after"],
            unique=False,
            postgresql_where=sa.text("prepare_after IS NOT NULL"),
            sqlite_where=sa.text("prepare_after IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_images_sha256",
            ["sha256"],
            unique=True,
            postgresql_where=sa.text("duplicate_of IS NULL"),
            sqlite_where=sa.text("duplicate_of IS NULL"),
        )

    op.create_table(
        "releases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("taxonomy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["workers.id"], name=op.f("fk_releases_created_by_workers")),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"], ["taxonomies.id"], name=op.f("fk_releases_taxonomy_id_taxonomies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("name", name=op.f("uq_releases_name")),
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("release_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("layout", sa.String(length=20), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("written", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by"], ["workers.id"], name=op.f("fk_exports_created_by_workers")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_exports_release_id_releases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    with op.batch_alter_table("exports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_exports_release_id"), ["release_id"], unique=False)
        batch_op.create_index(
            "ix_exports_unfinished",
            ["run_after"],
            unique=False,
            postgresql_where=sa.text("run_after IS NOT NULL"),
            sqlite_where=sa.text("run_after IS NOT NULL"),
        )

    op.create_table(
        "findings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_findings_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    with op.batch_alter_table("findings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_findings_image_id"), ["image_id"], unique=False)

    op.create_table(
        "image_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("about_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("stage", sa.SmallInteger(), nullable=True),
        sa.Column("target", sa.SmallInteger(), nullable=True),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "why",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["about_id"], ["workers.id"], name=op.f("fk_image_events_about_id_workers")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_image_events_image_id_images")),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_image_events_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_events")),
    )
    with op.batch_alter_table("image_events", schema=None) as batch_op:
        batch_op.create_index(
            "ix_image_events_about",
            ["about_id", "id"],
            unique=False,
            postgresql_where=sa.text("about_id IS NOT NULL"),
            sqlite_where=sa.text("about_id IS NOT NULL"),
        )
        batch_op.create_index("ix_image_events_image", ["image_id", "id"], unique=False)

    op.create_table(
        "labels",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("taxonomy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "value",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_labels_image_id_images")),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"], ["taxonomies.id"], name=op.f("fk_labels_taxonomy_id_taxonomies")
        ),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_labels_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    with op.batch_alter_table("labels", schema=None) as batch_op:
        batch_op.create_index("ix_labels_image", ["image_id", "stage", "id"], unique=False)

    op.create_table(
        "participations",
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_participations_image_id_images")),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_participations_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("image_id", "worker_id", "part", "round", name=op.f("pk_participations")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("seat", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("bounced", sa.Boolean(), nullable=False),
        sa.Column("batch", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=True),
        sa.Column("disputed", sa.SmallInteger(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reserved_for", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reserved_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("excluded_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("taxonomy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(reserved_for IS NULL) = (reserved_until IS NULL)", name=op.f("ck_tasks_reserved_whole")
        ),
        sa.CheckConstraint(
            "state <> 1 OR (worker_id IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_tasks_leased_has_holder"),
        ),
        sa.ForeignKeyConstraint(["excluded_id"], ["workers.id"], name=op.f("fk_tasks_excluded_id_workers")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_tasks_image_id_images")),
        sa.ForeignKeyConstraint(["reserved_for"], ["workers.id"], name=op.f("fk_tasks_reserved_for_workers")),
        sa.ForeignKeyConstraint(
            ["taxonomy_id"], ["taxonomies.id"], name=op.f("fk_tasks_taxonomy_id_taxonomies")
        ),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_tasks_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("image_id", "stage", "round", "seat", name="uq_tasks_seat"),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(
            "ix_tasks_lease_until",
            ["lease_until"],
            unique=False,
            postgresql_where=sa.text("state = 1"),
            sqlite_where=sa.text("state = 1"),
        )
        batch_op.create_index(
            "ix_tasks_leased",
            ["worker_id"],
            unique=False,
            postgresql_where=sa.text("state = 1"),
            sqlite_where=sa.text("state = 1"),
        )
        batch_op.create_index(
            "ix_tasks_leased_stage",
            ["stage"],
            unique=False,
            postgresql_where=sa.text("state = 1"),
            sqlite_where=sa.text("state = 1"),
        )
        batch_op.create_index(
            "ix_tasks_ready",
            ["stage", "bounced", "priority", "id"],
            unique=False,
            postgresql_where=sa.text("state = 0 AND reserved_for IS NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NULL"),
        )
        batch_op.create_index(
            "ix_tasks_reserved",
            ["reserved_for", "id"],
            unique=False,
            postgresql_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_tasks_reserved_until",
            ["reserved_until"],
            unique=False,
            postgresql_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_tasks_stuck",
            ["stage", "id"],
            unique=False,
            postgresql_where=sa.text("state = 4"),
            sqlite_where=sa.text("state = 4"),
        )
        batch_op.create_index(
            "uq_tasks_person",
            ["image_id", "stage", "round", "worker_id"],
            unique=True,
            postgresql_where=sa.text("state IN (1, 2)"),
            sqlite_where=sa.text("state IN (1, 2)"),
        )

    op.create_table(
        "claims",
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_claims_task_id_tasks")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_claims_worker_id_workers")),
        sa.PrimaryKeyConstraint("task_id", "token", name=op.f("pk_claims")),
    )
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.create_index("ix_claims_worker", ["worker_id", "task_id"], unique=False)

    op.create_table(
        "comments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_comments_task_id_tasks")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_comments_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
    )
    with op.batch_alter_table("comments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_comments_task_id"), ["task_id"], unique=False)

    op.create_table(
        "misses",
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("skip_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_misses_task_id_tasks")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_misses_worker_id_workers")),
        sa.PrimaryKeyConstraint("task_id", "worker_id", name=op.f("pk_misses")),
    )
    op.create_table(
        "release_images",
        sa.Column("release_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("split", sa.SmallInteger(), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attributes_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("styles_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["attributes_id"], ["labels.id"], name=op.f("fk_release_images_attributes_id_labels")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_release_images_image_id_images")),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name=op.f("fk_release_images_release_id_releases")
        ),
        sa.ForeignKeyConstraint(
            ["segmentation_id"], ["labels.id"], name=op.f("fk_release_images_segmentation_id_labels")
        ),
        sa.ForeignKeyConstraint(
            ["styles_id"], ["labels.id"], name=op.f("fk_release_images_styles_id_labels")
        ),
        sa.PrimaryKeyConstraint("release_id", "image_id", name=op.f("pk_release_images")),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("standing", sa.SmallInteger(), nullable=False),
        sa.Column(
            "result",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=False,
        ),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_submissions_image_id_images")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_submissions_task_id_tasks")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_submissions_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("task_id", "token", name="uq_submissions_token"),
    )
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.create_index("ix_submissions_image", ["image_id", "stage", "round"], unique=False)
        batch_op.create_index("ix_submissions_stage", ["stage"], unique=False)
        batch_op.create_index("ix_submissions_worker", ["worker_id", "id"], unique=False)
        batch_op.create_index(
            "uq_submissions_counted",
            ["task_id"],
            unique=True,
            postgresql_where=sa.text("standing = 0"),
            sqlite_where=sa.text("standing = 0"),
        )
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_submissions_counted",
            postgresql_where=sa.text("standing = 0"),
            sqlite_where=sa.text("standing = 0"),
        )
        batch_op.drop_index("ix_submissions_worker")
        batch_op.drop_index("ix_submissions_stage")
        batch_op.drop_index("ix_submissions_image")

    op.drop_table("submissions")
    op.drop_table("release_images")
    op.drop_table("misses")
    with op.batch_alter_table("comments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_comments_task_id"))

    op.drop_table("comments")
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.drop_index("ix_claims_worker")

    op.drop_table("claims")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_tasks_person",
            postgresql_where=sa.text("state IN (1, 2)"),
            sqlite_where=sa.text("state IN (1, 2)"),
        )
        batch_op.drop_index(
            "ix_tasks_stuck", postgresql_where=sa.text("state = 4"), sqlite_where=sa.text("state = 4")
        )
        batch_op.drop_index(
            "ix_tasks_reserved_until",
            postgresql_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_tasks_reserved",
            postgresql_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_tasks_ready",
            postgresql_where=sa.text("state = 0 AND reserved_for IS NULL"),
            sqlite_where=sa.text("state = 0 AND reserved_for IS NULL"),
        )
        batch_op.drop_index(
            "ix_tasks_leased_stage", postgresql_where=sa.text("state = 1"), sqlite_where=sa.text("state = 1")
        )
        batch_op.drop_index(
            "ix_tasks_leased", postgresql_where=sa.text("state = 1"), sqlite_where=sa.text("state = 1")
        )
        batch_op.drop_index(
            "ix_tasks_lease_until", postgresql_where=sa.text("state = 1"), sqlite_where=sa.text("state = 1")
        )

    op.drop_table("tasks")
    op.drop_table("participations")
    with op.batch_alter_table("labels", schema=None) as batch_op:
        batch_op.drop_index("ix_labels_image")

    op.drop_table("labels")
    with op.batch_alter_table("image_events", schema=None) as batch_op:
        batch_op.drop_index("ix_image_events_image")
        batch_op.drop_index(
            "ix_image_events_about",
            postgresql_where=sa.text("about_id IS NOT NULL"),
            sqlite_where=sa.text("about_id IS NOT NULL"),
        )

    op.drop_table("image_events")
    with op.batch_alter_table("findings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_findings_image_id"))

    op.drop_table("findings")
    with op.batch_alter_table("exports", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_exports_unfinished",
            postgresql_where=sa.text("run_after IS NOT NULL"),
            sqlite_where=sa.text("run_after IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_exports_release_id"))

    op.drop_table("exports")
    op.drop_table("releases")
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_images_sha256",
            postgresql_where=sa.text("duplicate_of IS NULL"),
            sqlite_where=sa.text("duplicate_of IS NULL"),
        )
        batch_op.drop_index(
            "ix_images_unprepared",
            postgresql_where=sa.text("prepare_after IS NOT NULL"),
            sqlite_where=sa.text("prepare_after IS NOT NULL"),
        )
        batch_op.drop_index("ix_images_supplier_file")
        batch_op.drop_index("ix_images_state")

    op.drop_table("images")
    with op.batch_alter_table("grade_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_grade_events_worker_id"))

    op.drop_table("grade_events")
    with op.batch_alter_table("api_tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_tokens_worker_id"))

    op.drop_table("api_tokens")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_index("ix_workers_grade")

    op.drop_table("workers")
    op.drop_table("taxonomies")
    op.drop_table("suppliers")
    op.drop_table("batches")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _make_append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        if table == APPEND_ONLY[0]:
            op.execute(POSTGRESQL_FUNCTION)
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
