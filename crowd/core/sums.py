"""Adding to kept sums: one upsert for many rows, in the order of their keys. Knows no figure."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT


def add(conn: Connection, base: Any, changes: Mapping[Any, Mapping[str, Any]]) -> None:
    """Add to rows of `base`: by primary key (a tuple), how much each of its other columns grows.

    Every change names the same columns; one that is nothing but zeros writes no row.
    """
    changed = {key: values for key, values in changes.items() if any(values.values())}
    if not changed:
        return
    names = [column.name for column in base.__table__.primary_key]
    # In the order of the keys: two that meet at the same rows wait, and never for each other.
    rows = [{**dict(zip(names, key, strict=True)), **changed[key]} for key in sorted(changed)]
    insert = INSERT[conn.dialect.name](base)
    columns: sa.Table = base.__table__
    grown = {name: columns.c[name] + insert.excluded[name] for name in rows[0] if name not in names}
    conn.execute(insert.on_conflict_do_update(index_elements=names, set_=grown), rows)
