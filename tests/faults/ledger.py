"""What the clients were told: every request of a drill and its answer, written by the client side alone."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

# After these nobody knows whether the request was carried out: it is sent again, with the same token.
UNCERTAIN = frozenset((None, 429, 502, 503, 504))


class Act(StrEnum):
    """What a client did. `found`: a lease that GET /me told of, its claim's answer having been lost."""

    CLAIM = "claim"
    FOUND = "found"
    HEARTBEAT = "heartbeat"
    RELEASE = "release"
    SUBMIT = "submit"
    SEND_BACK = "send_back"
    UPLOAD = "upload"
    ORDER = "order"


ANSWERS = frozenset((Act.SUBMIT, Act.SEND_BACK))


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: when it was sent, when its answer was there (epoch seconds), and what that was.

    `status` is None where the connection broke before an answer.
    """

    sent: float
    got: float
    status: int | None
    path: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed with what became of it. `task_id` is an image's or a job's id for an upload or an order.

    `status` as in Request, of the single answer in a grid; `code`: of a problem; `until`: when the lease
    ends (epoch seconds) as far as this answer told; `valid`: whether the answer could be taken.
    """

    who: int
    act: Act
    sent: float
    got: float
    status: int | None
    task_id: int
    token: int = 0
    body: Any = None
    code: str | None = None
    until: float = 0.0
    valid: bool = True

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that it is done."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def uncertain(self) -> bool:
        """Whether nobody can know what became of it."""
        return self.status in UNCERTAIN


@dataclass
class Ledger:
    """Grows while the bots work; threads only append."""

    entries: list[Entry] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, entry: Entry) -> None:
        """Write down a deed."""
        with self._lock:
            self.entries.append(entry)

    def note_request(self, request: Request) -> None:
        """Write down a request, whatever it was for."""
        with self._lock:
            self.requests.append(request)

    def copy(self) -> "Ledger":
        """The ledger as it is at this moment."""
        with self._lock:
            return Ledger(list(self.entries), list(self.requests))

    def of(self, *acts: Act) -> Iterator[Entry]:
        """The entries of these kinds, in the order of writing."""
        return (entry for entry in self.entries if entry.act in acts)

    def unanswered(self) -> list[Entry]:
        """Of each answer whose fate no client knows yet, the last attempt."""
        last: dict[tuple[int, int], Entry] = {}
        known = set()
        for entry in self.of(*ANSWERS):
            if not entry.valid:
                continue
            key = entry.task_id, entry.token
            last[key] = entry
            if not entry.uncertain:
                known.add(key)
        return [entry for key, entry in last.items() if key not in known]

    def keep(self, path: Path) -> None:
        """Write the deeds as JSON, one a line."""
        with path.open("w") as file:
            for entry in self.entries:
                file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def by_token(entries: Sequence[Entry]) -> dict[tuple[int, int], list[Entry]]:
    """Entries by (task, token), each in the order of sending."""
    grouped: dict[tuple[int, int], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.sent):
        grouped.setdefault((entry.task_id, entry.token), []).append(entry)
    return grouped
