"""Deltas folded into their bases, batch by batch. Knows neither which deltas nor which bases."""

from collections.abc import Callable

from sqlalchemy.engine import Connection

from crowd.core.db import Database

FOLD_BATCH = 2000


def fold_all(db: Database, fold_batch: Callable[[Connection, int], int], batch: int = FOLD_BATCH) -> int:
    """Fold what has been committed so far, each batch in a transaction of its own. Returns how many deltas.

    `fold_batch` moves up to that many and tells how many it moved. Any number of processes may do this at
    once, if it passes over the deltas that another one is folding.
    """
    folded = 0
    while True:
        with db.begin() as conn:
            moved = fold_batch(conn, batch)
        folded += moved
        if moved < batch:
            return folded
