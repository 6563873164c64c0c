"""Job: make the working images that are due."""

from crowd.images.service import prepare
from crowd.runtime import Runtime


def prepare_images(rt: Runtime) -> int:
    """Drain what is pending, batch by batch. Returns how many images were looked at."""
    looked_at = 0
    while batch := prepare(rt):
        looked_at += batch
    return looked_at
