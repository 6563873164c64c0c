"""Processor time of a process with all that came from it, from /proc; in seconds."""

import os
from pathlib import Path

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def tree_seconds(root: int) -> float:
    """User and system time of `root` and everything below it, ended and collected processes too."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (words := _stat(folder)):
            stats[int(folder.name)] = words
    below: dict[int, list[int]] = {}
    for pid, words in stats.items():
        below.setdefault(int(words[1]), []).append(pid)
    ticks, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        if pid in stats:
            # utime, stime, and both of the children that were waited for.
            ticks += sum(int(word) for word in stats[pid][11:15])
            waiting += below.get(pid, [])
    return ticks * _TICK


def _stat(folder: Path) -> list[str]:
    """The fields after the name: state, parent, …; none of a process that has just ended."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
