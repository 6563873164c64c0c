"""Figures kept by triggers: deltas, their bases, corrections, and the indexes that spare progress a scan"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

INDEXES: dict[str, tuple[str, list[str], str | None]] = {
    "ix_tasks_opened": ("tasks", ["stage", "opened_at"], "state = 0"),
    "ix_tasks_rework": ("tasks", ["stage", "round"], "state = 0 AND reserved_for IS NULL AND round > 1"),
    "ix_tasks_excluded": ("tasks", ["stage", "excluded_id"], "state = 0 AND excluded_id IS NOT NULL"),
    "ix_participations_part": ("participations", ["part", "worker_id", "image_id"], None),
}

# Figures: 0 ready, 1 leased, 2 stuck, 3 done, 4 bounced, 5 images.
# States of a task: 0 ready, 1 leased, 4 stuck. Standing 0: counted. What happened 3: bounced.
FIGURE_OF_STATE = "CASE {row}.state WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 4 THEN 2 END"
OPEN = "{row}.state IN (0, 1, 4)"

LEFT = (
    f"INSERT INTO count_deltas (figure, code, change) "
    f"SELECT {FIGURE_OF_STATE.format(row='OLD')}, OLD.stage, -1 WHERE {OPEN.format(row='OLD')}"
)
ENTERED = (
    f"INSERT INTO count_deltas (figure, code, change) "
    f"SELECT {FIGURE_OF_STATE.format(row='NEW')}, NEW.stage, 1 WHERE {OPEN.format(row='NEW')}"
)
MOVED = (
    f"{LEFT} UNION ALL SELECT {FIGURE_OF_STATE.format(row='NEW')}, NEW.stage, 1 "
    f"WHERE {OPEN.format(row='NEW')}"
)
ANSWERED = (
    "INSERT INTO count_deltas (figure, code, worker_id, change) VALUES (3, NEW.stage, NEW.worker_id, 1)"
)
BOUNCED = "INSERT INTO count_deltas (figure, code, worker_id, change) VALUES (4, NEW.target, NEW.about_id, 1)"
IMAGE_ADDED = "INSERT INTO count_deltas (figure, code, change) VALUES (5, NEW.state, 1)"
IMAGE_MOVED = "INSERT INTO count_deltas (figure, code, change) VALUES (5, OLD.state, -1), (5, NEW.state, 1)"
IMAGE_REMOVED = "INSERT INTO count_deltas (figure, code, change) VALUES (5, OLD.state, -1)"

# Name, table, event, condition, what it does.
TRIGGERS = (
    ("tasks_counted_insert", "tasks", "INSERT", None, ENTERED),
    ("tasks_counted_update", "tasks", "UPDATE OF state", "OLD.state <> NEW.state", MOVED),
    ("tasks_counted_delete", "tasks", "DELETE", None, LEFT),
    ("submissions_counted", "submissions", "INSERT", "NEW.standing = 0", ANSWERED),
    ("bounces_counted", "image_events", "INSERT", "NEW.what = 3 AND NEW.target IS NOT NULL", BOUNCED),
    ("images_counted_insert", "images", "INSERT", None, IMAGE_ADDED),
    ("images_counted_update", "images", "UPDATE OF state", "OLD.state <> NEW.state", IMAGE_MOVED),
    ("images_counted_delete", "images", "DELETE", None, IMAGE_REMOVED),
)

FILL = (
    "INSERT INTO counts (figure, code, value) SELECT CASE state WHEN 4 THEN 2 ELSE state END, stage, count(*) "
    "FROM tasks WHERE state IN (0, 1, 4) GROUP BY state, stage",
    "INSERT INTO counts (figure, code, value) SELECT 3, stage, count(*) FROM submissions "
    "WHERE standing = 0 GROUP BY stage",
    "INSERT INTO counts (figure, code, value) SELECT 4, target, count(*) FROM image_events "
    "WHERE what = 3 AND target IS NOT NULL GROUP BY target",
    "INSERT INTO counts (figure, code, value) SELECT 5, state, count(*) FROM images GROUP BY state",
    "INSERT INTO worker_counts (worker_id, figure, code, value) SELECT worker_id, 3, stage, count(*) "
    "FROM submissions WHERE standing = 0 GROUP BY worker_id, stage",
    "INSERT INTO worker_counts (worker_id, figure, code, value) SELECT about_id, 4, target, count(*) "
    "FROM image_events WHERE what = 3 AND target IS NOT NULL AND about_id IS NOT NULL "
    "GROUP BY about_id, target",
)


# Whoever writes takes them in this order, but for an answer, which writes tasks before it moves its image:
# no order of ours spares us a cycle, so what was locked is let go after half a second, and taken anew.
# The index that goes wants its table for itself.
LOCK = """
DO $$ BEGIN
FOR attempt IN 1..120 LOOP
    BEGIN
        LOCK TABLE workers, images, tasks, participations, image_events IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE;
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
    if _on_postgresql():
        # Less than the second after which the server ends one of two that wait for each other.
        op.execute("SET LOCAL lock_timeout = '500ms'")
        op.execute(LOCK)
        op.execute("SET LOCAL lock_timeout = DEFAULT")
    op.create_table(
        "count_deltas",
        sa.Column("id", ID, nullable=False),
        sa.Column("figure", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=True),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_count_deltas")),
    )
    op.create_table(
        "counts",
        sa.Column("figure", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("figure", "code", name=op.f("pk_counts")),
    )
    op.create_table(
        "worker_counts",
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("figure", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_worker_counts_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("worker_id", "figure", "code", name=op.f("pk_worker_counts")),
    )
    op.create_table(
        "count_corrections",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figure", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], name=op.f("fk_count_corrections_worker_id_workers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_count_corrections")),
    )
    op.create_table(
        "due_jobs",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_due_jobs")),
    )
    for name, (table, columns, where) in INDEXES.items():
        condition = sa.text(where) if where else None
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
    op.drop_index("ix_submissions_stage", "submissions")
    # The triggers first: their lock keeps writers out until what was there before has been counted.
    for trigger in TRIGGERS:
        _create_trigger(*trigger)
    for statement in FILL:
        op.execute(statement)
    _make_append_only("count_corrections")
    if _on_postgresql():
        # Rows come and go within seconds: what is dead must not pile up in front of a reader.
        op.execute(
            "ALTER TABLE count_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
        )


def downgrade() -> None:
    """Take back."""
    for name, table, *_ in TRIGGERS:
        if _on_postgresql():
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION {name}()")
        else:
            op.execute(f"DROP TRIGGER {name}")
    for name, (table, *_) in INDEXES.items():
        op.drop_index(name, table)
    op.create_index("ix_submissions_stage", "submissions", ["stage"])
    for table in ("due_jobs", "count_corrections", "worker_counts", "counts", "count_deltas"):
        op.drop_table(table)


def _create_trigger(name: str, table: str, event: str, condition: str | None, action: str) -> None:
    when = f"WHEN ({condition}) " if condition else ""
    if not _on_postgresql():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when}BEGIN {action}; END")
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action}; RETURN NULL; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when}EXECUTE FUNCTION {name}()")


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
