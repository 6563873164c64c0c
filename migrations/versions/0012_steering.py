"""Groups of people, kept figures for those who steer, plans, and notices"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("memberships", "plans", "notices", "notice_ends", "notice_reads")
# In the order in which they may go.
TABLES = (
    "notice_reads",
    "notice_ends",
    "notices",
    "memberships",
    "plans",
    "groups",
    "work_days",
    "untold",
    "supplier_days",
    "style_days",
    "retellings",
    "image_days",
    "fix_days",
    "error_days",
    "agreement_weeks",
)

# Standing 0: counted. What happened: 0 uploaded, 3 bounced, 8 accepted, 9 held, 10 refused, 11 withdrawn,
# 12 reopened. Sources: 0 answers, 1 events.
TRIGGERS = (
    ("submissions_untold", "submissions", "NEW.standing = 0", 0),
    ("events_untold", "image_events", "NEW.what IN (0, 3, 8, 9, 10, 11, 12)", 1),
)

# In the order in which an answer writes them. What was locked is let go after half a second and taken anew,
# lest a writer that waits for us and for whom we wait be ended.
LOCK = """
DO $$ BEGIN
FOR attempt IN 1..120 LOOP
    BEGIN
        LOCK TABLE submissions, image_events IN SHARE ROW EXCLUSIVE MODE;
        RETURN;
    EXCEPTION WHEN lock_not_available THEN
        PERFORM pg_sleep(random() / 2);
    END;
END LOOP;
RAISE EXCEPTION 'the tables are in use: upgrade while no backup and no export runs';
END $$
"""


def upgrade() -> None:
    """Apply."""
    _tables()
    for table in APPEND_ONLY:
        _make_append_only(table)
    if _on_postgresql():
        op.execute("SET LOCAL lock_timeout = '500ms'")
        op.execute(LOCK)
        op.execute("SET LOCAL lock_timeout = DEFAULT")
        # Rows come and go within seconds: what is dead must not pile up in front of a reader.
        op.execute(
            "ALTER TABLE untold SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
        )
    for name, table, condition, source in TRIGGERS:
        _create_trigger(name, table, condition, source)
        # What was there before is told by upkeep, page by page: no one waits for it here.
        op.execute(
            f"INSERT INTO retellings (source, next_id, last_id) "  # noqa: S608  # our own names
            f"SELECT {source}, 1, max(id) FROM {table} HAVING max(id) IS NOT NULL"
        )


def downgrade() -> None:
    """Undo."""
    for name, table, *_ in TRIGGERS:
        if _on_postgresql():
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION {name}()")
        else:
            op.execute(f"DROP TRIGGER {name}")
    for table in TABLES:
        op.drop_table(table)


def _tables() -> None:
    op.create_table(
        "agreement_weeks",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("basis", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("variable", sa.String(length=200), nullable=False),
        sa.Column("worker_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("earlier", sa.Boolean(), nullable=False),
        sa.Column("a", sa.String(length=500), nullable=False),
        sa.Column("b", sa.String(length=500), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "week",
            "stage",
            "basis",
            "variable",
            "worker_id",
            "earlier",
            "a",
            "b",
            name=op.f("pk_agreement_weeks"),
        ),
    )
    op.create_index("ix_agreement_weeks_worker", "agreement_weeks", ["worker_id", "stage"], unique=False)
    op.create_table(
        "error_days",
        sa.Column("worker_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("supplier_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=200), nullable=False),
        sa.Column("bounces", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint(
            "worker_id", "group_id", "supplier_id", "stage", "code", "day", name=op.f("pk_error_days")
        ),
    )
    op.create_table(
        "fix_days",
        sa.Column("fixer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("author_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fixed", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("fixer_id", "author_id", "stage", "day", name=op.f("pk_fix_days")),
    )
    op.create_table(
        "image_days",
        sa.Column("supplier_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uploaded", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.Column("reopened", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("supplier_id", "day", name=op.f("pk_image_days")),
    )
    op.create_table(
        "retellings",
        sa.Column("source", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_retellings")),
    )
    op.create_table(
        "style_days",
        sa.Column("style", sa.String(length=200), nullable=False),
        sa.Column("named", sa.BigInteger(), nullable=False),
        sa.Column("main", sa.BigInteger(), nullable=False),
        sa.Column("unsure", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=False),
        sa.Column("disagreed", sa.BigInteger(), nullable=False),
        sa.Column("bounced", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("style", "day", name=op.f("pk_style_days")),
    )
    op.create_table(
        "supplier_days",
        sa.Column("supplier_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("sent_back", sa.BigInteger(), nullable=False),
        sa.Column("unusable", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("timed", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("bounced", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("likeness", sa.BigInteger(), nullable=False),
        sa.Column("revised", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("fixed", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("supplier_id", "stage", "day", name=op.f("pk_supplier_days")),
    )
    op.create_table(
        "untold",
        sa.Column("id", ID, nullable=False),
        sa.Column("source", sa.SmallInteger(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_untold")),
    )
    op.create_table(
        "work_days",
        sa.Column("worker_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("sent_back", sa.BigInteger(), nullable=False),
        sa.Column("unusable", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("timed", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("bounced", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("likeness", sa.BigInteger(), nullable=False),
        sa.Column("revised", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("fixed", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "group_id", "stage", "day", name=op.f("pk_work_days")),
    )
    op.create_index("ix_work_days_day", "work_days", ["day"], unique=False)
    op.create_table(
        "groups",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.ForeignKeyConstraint(["created_by"], ["workers.id"], name=op.f("fk_groups_created_by_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
    )
    op.create_table(
        "plans",
        sa.Column("id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("volume", sa.BigInteger(), nullable=True),
        sa.Column("person_id", ID, nullable=True),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("made_by", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["made_by"], ["workers.id"], name=op.f("fk_plans_made_by_workers")),
        sa.ForeignKeyConstraint(["person_id"], ["workers.id"], name=op.f("fk_plans_person_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index("ix_plans_stage", "plans", ["stage", "id"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["workers.id"], name=op.f("fk_memberships_actor_id_workers")),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_memberships_group_id_groups")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_memberships_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_group", "memberships", ["group_id", "worker_id"], unique=False)
    op.create_index("ix_memberships_worker", "memberships", ["worker_id", "id"], unique=False)
    op.create_table(
        "notices",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by_id", ID, nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger(), nullable=True),
        sa.Column("stage", sa.SmallInteger(), nullable=True),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["workers.id"], name=op.f("fk_notices_by_id_workers")),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_notices_group_id_groups")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    op.create_index("ix_notices_expires_at", "notices", ["expires_at"], unique=False)
    op.create_table(
        "notice_ends",
        sa.Column("notice_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by_id", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["workers.id"], name=op.f("fk_notice_ends_by_id_workers")),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_notice_ends_notice_id_notices")),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notice_ends")),
    )
    op.create_table(
        "notice_reads",
        sa.Column("notice_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notices.id"], name=op.f("fk_notice_reads_notice_id_notices")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_notice_reads_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("notice_id", "worker_id", name=op.f("pk_notice_reads")),
    )


def _create_trigger(name: str, table: str, condition: str, source: int) -> None:
    action = f"INSERT INTO untold (source, row_id) VALUES ({source}, NEW.id)"  # noqa: S608  # our own names
    if not _on_postgresql():
        op.execute(
            f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW "
            f"WHEN ({condition}) BEGIN {action}; END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action}; RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW "
        f"WHEN ({condition}) EXECUTE FUNCTION {name}()"
    )


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
