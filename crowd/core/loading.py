"""How a process loads its modules: without the collector of garbage, which would find none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """What is loaded in the block stays until the process ends, and is never looked through for garbage.

    A quarter of the time that it takes to import the application would go into that, and later every
    full collection of a web process would hold all its threads up for a fifth of a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
