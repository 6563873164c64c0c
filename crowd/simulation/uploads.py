"""Drawn images on their way into the system, with their truths remembered."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crowd.simulation.client import Client, expect
from crowd.simulation.drawing import draw
from crowd.simulation.looks import as_jpeg, drawing_seed, look_name
from crowd.simulation.truth import Truth
from crowd.simulation.truths import Truths

SUPPLIER = "Crowd Sample Studio"
RIGHTS = "owned"
UPLOADERS = 2


class Uploader:
    """Hands in drawn images as an admin. A picture that the system has already is drawn anew.

    So the same seed fills an empty system with the same images, and a second run brings fresh ones.
    """

    def __init__(self, admin: Client, truths: Truths, seed: int) -> None:
        self._admin = admin
        self._truths = truths
        self._seed = seed
        self._edition = 0
        self._lock = threading.Lock()

    def upload(self, count: int, on_progress: Callable[[int], None]) -> list[int]:
        """The ids of `count` new images in work or held. Raises Unexpected and what Client.send raises."""
        ids: list[int] = []
        pool = ThreadPoolExecutor(UPLOADERS, thread_name_prefix="upload")
        try:
            for image_id in pool.map(self._one, range(1, count + 1)):
                ids.append(image_id)
                on_progress(len(ids))
        finally:
            pool.shutdown(cancel_futures=True)
        return ids

    def _one(self, number: int) -> int:
        edition = self._edition
        while True:
            drawn = draw(drawing_seed(self._seed, edition, number))
            taken = self._hand_in(look_name(number), as_jpeg(drawn.image))
            if not any(finding["code"] == "duplicate" for finding in taken["findings"]):
                self._truths.remember(taken["id"], Truth.read(drawn.truth))
                return int(taken["id"])
            edition += 1
            with self._lock:
                self._edition = max(self._edition, edition)

    def _hand_in(self, name: str, data: bytes) -> dict[str, Any]:
        response = self._admin.send(
            "POST",
            "/images",
            data={"supplier": SUPPLIER, "rights": RIGHTS},
            files={"file": (name, data, "image/jpeg")},
        )
        body: dict[str, Any] = expect(response, 201).json()
        return body
