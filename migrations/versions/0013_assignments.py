"""Assignments: a state of tasks that are kept for somebody, and the indexes that find them"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

INDEXES = (
    ("ix_images_batch", "images", ["batch_id", "id"], "batch_id IS NOT NULL"),
    ("ix_tasks_assigned", "tasks", ["stage", "opened_at"], "state = 5"),
    (
        "ix_tasks_assignment",
        "tasks",
        ["assignment_id", "state", "stage", "priority", "id"],
        "assignment_id IS NOT NULL",
    ),
)

# As in 0003 and, of work alone, 0010; `ready`: the states that count as ready (5: assigned).
FIGURE = "CASE {row}.state {ready} WHEN 1 THEN 1 WHEN 4 THEN 2 END"
BEFORE = ("WHEN 0 THEN 0", "(0, 1, 4)")
AFTER = ("WHEN 0 THEN 0 WHEN 5 THEN 0", "(0, 1, 4, 5)")

# Who waits for the table has everybody else wait behind: not longer than half a second at a time.
LOCK = """
DO $$ BEGIN
FOR attempt IN 1..120 LOOP
    BEGIN
        LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE;
        RETURN;
    EXCEPTION WHEN lock_not_available THEN
        PERFORM pg_sleep(random() / 2);
    END;
END LOOP;
RAISE EXCEPTION 'the tasks are in use: upgrade while no backup and no export runs';
END $$
"""


def upgrade() -> None:
    """Apply."""
    _tables()
    _make_append_only("assignment_events")
    if _on_postgresql():
        op.execute("SET LOCAL lock_timeout = '500ms'")
        op.execute(LOCK)
        op.execute("SET LOCAL lock_timeout = DEFAULT")
    # A column without a value is a line in the catalogue, however many tasks there are. On PostgreSQL it may
    # be there: from an upgrade that was broken off at the indexes.
    column = sa.Column("assignment_id", sa.BigInteger(), nullable=True)
    op.add_column("tasks", column, if_not_exists=True if _on_postgresql() else None)
    _count(*AFTER)
    _index()


def downgrade() -> None:
    """Undo."""
    for name, table, *_ in INDEXES:
        op.drop_index(name, table)
    # Whatever waits goes back to the queue, counted as ready before and after.
    op.execute("UPDATE tasks SET state = 0, token = CASE token WHEN 0 THEN 1 ELSE token END WHERE state = 5")
    _count(*BEFORE)
    op.drop_column("tasks", "assignment_id")
    op.drop_table("assignment_events")
    op.drop_table("assignments")


def _index() -> None:
    """The indexes, without keeping anybody from writing meanwhile."""
    if not _on_postgresql():
        for name, table, columns, where in INDEXES:
            op.create_index(name, table, columns, sqlite_where=sa.text(where))
        return
    with op.get_context().autocommit_block():
        for name, table, columns, where in INDEXES:
            # One that was begun and broken off is there, but useless.
            op.execute(f"DROP INDEX IF EXISTS {name}")
            op.create_index(
                name, table, columns, postgresql_where=sa.text(where), postgresql_concurrently=True
            )


def _count(ready: str, states: str) -> None:
    """What the triggers of 0003 do, with other states that count as ready."""
    left, entered = (
        f"SELECT {FIGURE.format(row=row, ready=ready)}, {row}.stage, {change} WHERE {row}.state IN {states}"
        for row, change in (("OLD", -1), ("NEW", 1))
    )
    into = "INSERT INTO count_deltas (figure, code, change)"
    _replace("tasks_counted_insert", "INSERT", "WHEN (NEW.purpose = 0) ", f"{into} {entered}")
    _replace(
        "tasks_counted_update",
        "UPDATE OF state",
        "WHEN (OLD.state <> NEW.state AND NEW.purpose = 0) ",
        f"{into} {left} UNION ALL {entered}",
    )
    _replace("tasks_counted_delete", "DELETE", "WHEN (OLD.purpose = 0) ", f"{into} {left}")


def _replace(name: str, event: str, when: str, action: str) -> None:
    if _on_postgresql():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN {action}; RETURN NULL; END $$"
        )
        return
    op.execute(f"DROP TRIGGER {name}")
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON tasks FOR EACH ROW {when}BEGIN {action}; END")


def _tables() -> None:
    op.create_table(
        "assignments",
        sa.Column("id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("batch_id", ID, nullable=True),
        sa.Column("count", sa.Integer(), nullable=True),
        sa.Column("deadline", MOMENT, nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Integer(), nullable=False),
        sa.Column("seen_image_id", sa.BigInteger(), nullable=False),
        sa.Column("walked_at", MOMENT, nullable=True),
        sa.CheckConstraint("(worker_id IS NULL) <> (group_id IS NULL)", name=op.f("ck_assignments_for_one")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_assignments_batch_id_batches")),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_assignments_group_id_groups")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_assignments_worker_id_workers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
    )
    op.create_index(
        "ix_assignments_ended",
        "assignments",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
        sqlite_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "ix_assignments_running",
        "assignments",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "assignment_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("assignment_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["workers.id"], name=op.f("fk_assignment_events_actor_id_workers")
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name=op.f("fk_assignment_events_assignment_id_assignments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment_events")),
    )
    op.create_index(
        op.f("ix_assignment_events_assignment_id"), "assignment_events", ["assignment_id"], unique=False
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
