"""Peak memory, asked from inside the process in question.

Not getrusage: what that tells begins with the memory that the parent had at the moment of the fork.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Peaks:
    """KiB that a process has had at most, and the largest of its living children (0: there is none)."""

    own: int
    child: int

    @classmethod
    def now(cls) -> Self:
        """Those of this process."""
        tasks = Path("/proc/self/task").glob("*/children")
        children = [pid for task in tasks for pid in task.read_text().split()]
        return cls(_peak_of("self"), max(map(_peak_of, children), default=0))

    @classmethod
    def told_in(cls, path: Path) -> Self:
        """What a process has left there."""
        return cls(**json.loads(path.read_text()))

    def leave(self, path: str) -> None:
        """Leave them in a file, for whoever has started this process."""
        Path(path).write_text(json.dumps(asdict(self)))


def _peak_of(pid: str) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "this system does not tell"
    return int(found[1])
