"""Shadow seats: what a task is for, numbers put aside, and figures that know of work alone"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Purpose 0: work, 1: slot. Images' state 5: spare, 6: shadow. Tasks' state 0: ready.
UNSEEN = "purpose = 0 OR state <> 0 OR reserved_for IS NOT NULL"
INDEXES = (
    ("ix_tasks_slots", "tasks", "stage, id", "purpose = 1"),
    ("ix_images_spare", "images", "duplicate_of", "state = 5"),
)

# Figures: 0 ready, 1 leased, 2 stuck. States of a task: 0 ready, 1 leased, 4 stuck.
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
# Name, event, condition as it was, what is added to it, what it does.
TRIGGERS = (
    ("tasks_counted_insert", "INSERT", None, "NEW.purpose = 0", ENTERED),
    ("tasks_counted_update", "UPDATE OF state", "OLD.state <> NEW.state", "NEW.purpose = 0", MOVED),
    ("tasks_counted_delete", "DELETE", None, "OLD.purpose = 0", LEFT),
)

# Lets go of the queue for those who wait behind it, and asks anew.
PATIENT = """
DO $$ BEGIN
FOR attempt IN 1..240 LOOP
    BEGIN
        LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE;
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
        _lock()
        # A constant default is not written into the rows; the check is made afterwards, with everybody at work.
        op.execute("ALTER TABLE tasks ADD COLUMN IF NOT EXISTS purpose SMALLINT NOT NULL DEFAULT 0")
        op.execute("ALTER TABLE tasks DROP CONSTRAINT IF EXISTS ck_tasks_shadow_unseen")
        op.execute(f"ALTER TABLE tasks ADD CONSTRAINT ck_tasks_shadow_unseen CHECK ({UNSEEN}) NOT VALID")
    else:
        op.execute(
            "ALTER TABLE tasks ADD COLUMN purpose SMALLINT DEFAULT 0 NOT NULL "
            f"CONSTRAINT ck_tasks_shadow_unseen CHECK ({UNSEEN})"
        )
    for name, event, condition, added, action in TRIGGERS:
        _replace_trigger(name, event, f"{condition} AND {added}" if condition else added, action)
    if not _on_postgresql():
        for name, table, columns, where in INDEXES:
            op.execute(f"CREATE INDEX {name} ON {table} ({columns}) WHERE {where}")
        return
    with op.get_context().autocommit_block():
        for name, table, columns, where in INDEXES:
            # One that was broken off is there, and of no use.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} ({columns}) WHERE {where}")
    op.execute("ALTER TABLE tasks VALIDATE CONSTRAINT ck_tasks_shadow_unseen")


def downgrade() -> None:
    """Undo. Shadow seats become closed tasks like others; the numbers that were put aside stay."""
    for name, *_ in INDEXES:
        op.execute(f"DROP INDEX {name}")
    if _on_postgresql():
        _lock()
    op.execute(
        "UPDATE tasks SET state = 3, reserved_for = NULL, reserved_until = NULL, lease_until = NULL WHERE purpose > 0 AND state IN (0, 1, 4)"
    )
    for name, event, condition, _, action in TRIGGERS:
        _replace_trigger(name, event, condition, action)
    if _on_postgresql():
        op.drop_constraint("ck_tasks_shadow_unseen", "tasks")
    # On SQLite the check stands with its column, and goes with it.
    op.execute("ALTER TABLE tasks DROP COLUMN purpose")


def _lock() -> None:
    # Less than the second after which the server ends one of two that wait for each other.
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute(PATIENT)
    op.execute("SET LOCAL lock_timeout = DEFAULT")


def _replace_trigger(name: str, event: str, condition: str | None, action: str) -> None:
    when = f"WHEN ({condition}) " if condition else ""
    if _on_postgresql():
        op.execute(f"DROP TRIGGER {name} ON tasks")
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON tasks FOR EACH ROW {when}EXECUTE FUNCTION {name}()"
        )
        return
    op.execute(f"DROP TRIGGER {name}")
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON tasks FOR EACH ROW {when}BEGIN {action}; END")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
