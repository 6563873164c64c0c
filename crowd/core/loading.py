"""How a process loads its modules: without the collector of garbage, which would find none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """No garbage is looked for in the block: a quarter of an import of the application would go into that."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep_for_good() -> None:
    """What is there now stays until the process ends, and is never looked through for garbage again.

    Else every full collection would hold all threads of a web process up for a fifth of a second. Only for a
    process that has just begun: what is garbage now stays as well.
    """
    gc.collect()
    gc.freeze()
