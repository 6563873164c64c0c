"""Working images, had made: a file nobody trusts goes in, a clean JPEG and its thumbnail come out.

The decoding itself runs in a child process with limits on memory and time, so that a bomb takes the child
and never us. This is our side, which looks at no picture; the child's is `crowd.images.derivatives`.
"""

import json
import os
import select
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, cast

# The child reads strangers' bytes: it is not given our passwords and keys.
CHILD_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
)
ROOT = str(Path(__file__).resolve().parents[2])
# Bytes of addresses that a child may take.
MEMORY = 1 << 30
MEMORY_WITH_OPENCV = 3 << 29
GLANCES = 5
GLANCE_SECONDS = 0.01


class Unreadable(Exception):
    """No working image can be made of a file; `reason` is a sentence for the person who sent it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Starved(Exception):
    """The machine is too busy to decode: it says nothing against the file, which may be tried again."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one file may cost (pixels, bytes, seconds) and how large its derivatives become (pixels).

    A child that hangs is given up after `wall_seconds`; one that only waits for a processor or a disk after
    `starved_seconds`.

    `faces` is what becomes of faces: none (nobody looks), mosaic or crop; `crop` takes plain margins off.
    """

    max_pixels: int = 50_000_000
    memory_bytes: int = MEMORY
    cpu_seconds: int = 8
    wall_seconds: float = 9.0
    starved_seconds: float = 60.0
    max_width: int = 800
    thumbnail_side: int = 256
    quality: int = 90
    faces: str = "none"
    crop: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """What was made of a file.

    `width` and `height` are those of the working image, `original_*` those of the whole upright picture;
    `pixels_sha256` covers size and upright RGB pixels before scaling, so it is blind to metadata. `signals`
    are those of crowd.images.signals, with `phash` and `colours` in hexadecimal. `faces` says how many were
    covered, None when nobody looked; `cropped` is the part (left, top, right, bottom) of the upright picture
    that was kept, None for all of it; `dpi` as the file has it.
    """

    width: int
    height: int
    original_width: int
    original_height: int
    format: str
    frames: int
    pixels_sha256: str
    findings: list[dict[str, str]] = field(default_factory=list)
    signals: dict[str, Any] = field(default_factory=dict)
    faces: int | None = None
    cropped: list[int] | None = None
    dpi: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of a working image, in its pixels: left, top, right and bottom of each part.

    `cover` are parts that are made unrecognisable, `keep` is what stays of the whole, None for all of it.
    """

    cover: list[tuple[int, int, int, int]] = field(default_factory=list)
    keep: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A working image made anew: its size in pixels, and how many further faces were found and covered."""

    width: int
    height: int
    faces: int


def derive(source: Path, working: Path, thumbnail: Path, limits: DecodeLimits | None = None) -> Derived:
    """Writes the working image and the thumbnail of one file, through a child process of its own.

    Raises Unreadable (the file's fault; neither target has been touched), OSError (the disk's), Starved.
    """
    with Decoder(limits) as decoder:
        return decoder.derive(source, working, thumbnail)


class Decoder:
    """One warm child that takes many files, one after the other; not to be shared between threads.

    A child that dies or runs late is replaced, and only the file it died on is Unreadable.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self.limits = limits or DecodeLimits()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process id of the child that waits for work, if there is one."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def derive(self, source: Path, working: Path, thumbnail: Path) -> Derived:
        """Writes both derivatives of `source`.

        Raises Unreadable (the file's fault; neither target has been touched), OSError (the disk's), Starved.
        """
        return Derived(**self._have_made({"source": str(source)}, source, working, thumbnail))

    def change(self, source: Path, working: Path, thumbnail: Path, changes: Changes) -> Changed:
        """Writes both derivatives of a working image anew, with changes.

        Raises Unreadable, OSError and Starved as `derive` does.
        """
        order = {"source": str(source), "changes": asdict(changes)}
        return Changed(**self._have_made(order, source, working, thumbnail))

    def _have_made(
        self, order: dict[str, Any], source: Path, working: Path, thumbnail: Path
    ) -> dict[str, Any]:
        source.stat()
        parts = [target.with_name(f".{uuid.uuid4().hex}.part") for target in (working, thumbnail)]
        try:
            answer = self._ask({**order, "parts": [str(part) for part in parts]})
            if "width" in answer:
                parts[0].replace(working)
                parts[1].replace(thumbnail)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        if answer.pop("spent", False):
            self.close()
        if "unwritten" in answer:
            raise OSError(answer["unwritten"])
        if "unreadable" in answer:
            raise Unreadable(answer["unreadable"])
        return answer

    def close(self) -> None:
        """Ends the child; a later `derive` starts a new one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        child = self._warm_child()
        try:
            _send(child, order)
            line = _read_line(child, self.limits)
        except TimeoutError:
            self.close()
            raise Unreadable(f"decoding took longer than {self.limits.wall_seconds:g} seconds") from None
        except (BrokenPipeError, EOFError):
            self.close()
            raise Unreadable(
                "decoding broke off: the file asks for more memory or time than it may have"
            ) from None
        except BaseException:
            # An interrupt in mid-answer would leave that answer for the next file to read.
            self.close()
            raise
        return cast(dict[str, Any], json.loads(line))

    def _warm_child(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            environment = {name: os.environ[name] for name in CHILD_ENVIRONMENT if name in os.environ}
            # Wherever we run from, the child finds the same `crowd` as we did.
            paths = filter(None, (ROOT, environment.get("PYTHONPATH")))
            environment["PYTHONPATH"] = os.pathsep.join(paths)
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "crowd.images.derivatives", json.dumps(asdict(self.limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        return self._child


def _send(child: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(order).encode() + b"\n")
    child.stdin.flush()


def _read_line(child: subprocess.Popen[bytes], limits: DecodeLimits) -> bytes:
    """What the child answers. Raises EOFError, TimeoutError (it hangs) and Starved."""
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    started = time.monotonic()
    patience, line = limits.wall_seconds, b""
    while not line.endswith(b"\n"):
        left = started + patience - time.monotonic()
        if left > 0 and select.select([descriptor], [], [], left)[0]:
            chunk = os.read(descriptor, 65_536)
            if not chunk:
                raise EOFError
            line += chunk
        elif not _wants_to_go_on(child.pid):
            raise TimeoutError
        elif patience >= limits.starved_seconds:
            raise Starved(f"decoding got no processor for {limits.starved_seconds:g} seconds")
        else:
            # Its own limit of processor time ends a busy loop.
            patience = min(patience + 1, max(limits.starved_seconds, limits.wall_seconds))
    return line


def _wants_to_go_on(pid: int) -> bool:
    """Whether a process waits for a processor or a disk, not for something that may never come.

    Seen several times, since it may just be between two of them. Where /proc is not, nobody is waited for.
    """
    for _ in range(GLANCES):
        with suppress(OSError):
            # The name before it, in brackets, may hold anything.
            if Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "RD":
                return True
        time.sleep(GLANCE_SECONDS)
    return False
