"""The making of working images: a file nobody trusts goes in, a clean JPEG and its thumbnail come out.

The decoding itself runs in a child process with limits on memory and time, so that a bomb takes the child
and never us. The child runs this very module, and knows of ours only what measures pictures.
"""

import hashlib
import io
import json
import os
import resource
import select
import struct
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self, cast

from PIL import Image, ImageChops, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from crowd.images import faces
from crowd.images.signals import read_signals

DECODERS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
JPEG_MAX_SIDE = 65_500
BROKEN_FILE = (
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    ZeroDivisionError,
    OverflowError,
    RecursionError,
    AssertionError,
    AttributeError,
    NotImplementedError,
    EOFError,
    OSError,
    struct.error,
    ImageCms.PyCMSError,
)
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
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
WHITE = (255, 255, 255)
HASHED_ROWS = 64
# Bytes of addresses that a child may take.
MEMORY = 1 << 30
MEMORY_WITH_OPENCV = 3 << 29
THUMBNAIL_QUALITY = 85
# A thumbnail is averaged down to twice its size first: a third of the time, and nobody sees it.
THUMBNAIL_GAP = 2.0
PLAIN = 16
# Of a plain margin so much (of the longer side) stays around what is in front of it.
MARGIN = 0.04
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
                [sys.executable, "-P", "-m", "crowd.images.decode", json.dumps(asdict(self.limits))],
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


def make_derivatives(source: Path, working: IO[bytes], thumbnail: IO[bytes], limits: DecodeLimits) -> Derived:
    """Decodes `source` in this very process and writes both JPEGs; only the child may call it.

    Raises Unreadable, MemoryError, or one of BROKEN_FILE and BOMB.
    """
    findings: list[dict[str, str]] = []
    with Image.open(source, formats=DECODERS) as opened:
        _check_size(opened, limits)
        kind, frames = _kind_and_frames(opened, findings)
        dpi = _dpi(opened.info.get("dpi"))
        opened.load()
        picture = _upright(opened, findings)
        picture = _to_srgb(picture, opened.info.get("icc_profile"), findings)
    original = picture.size
    digest = _pixel_digest(picture)
    kept = _region_of_interest(picture) if limits.crop else None
    if kept:
        picture = picture.crop(kept)
    picture = _shrunk(picture, limits.max_width / picture.width)
    signals = read_signals(picture)
    picture, covered = _without_faces(picture, limits.faces)
    _write_jpeg(picture, working, limits.quality)
    small = _shrunk(picture, limits.thumbnail_side / max(picture.size), THUMBNAIL_GAP)
    _write_jpeg(small, thumbnail, THUMBNAIL_QUALITY)
    return Derived(
        *picture.size,
        *original,
        kind,
        frames,
        digest,
        findings,
        signals=signals.as_json(),
        faces=covered,
        cropped=list(kept) if kept else None,
        dpi=dpi,
    )


def make_changed(
    source: Path, working: IO[bytes], thumbnail: IO[bytes], limits: DecodeLimits, changes: Changes
) -> Changed:
    """Decodes a working image in this very process and writes it and its thumbnail changed; for the child.

    Raises Unreadable, MemoryError, or one of BROKEN_FILE and BOMB.
    """
    with Image.open(source, formats=DECODERS) as opened:
        _check_size(opened, limits)
        opened.load()
        picture = opened.convert("RGB")
    for box in changes.cover:
        faces.cover(picture, (box[0], box[1], box[2], box[3]))
    if changes.keep:
        picture = picture.crop(changes.keep)
    # What is left is of another size, and so a face may be seen that was not before.
    picture, found = _without_faces(picture, "none" if limits.faces == "none" else "mosaic")
    _write_jpeg(picture, working, limits.quality)
    small = _shrunk(picture, limits.thumbnail_side / max(picture.size))
    _write_jpeg(small, thumbnail, THUMBNAIL_QUALITY)
    return Changed(*picture.size, found or 0)


def _dpi(told: object) -> float | None:
    """What a file says of its resolution, if that can be meant."""
    try:
        across = float(told[0])  # type: ignore[index]
    except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        return None
    return round(across, 1) if 1 < across < 100_000 else None


def _region_of_interest(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """Where a picture has more than plain margin, with some of the margin; None for all of it."""
    corner = cast(tuple[int, int, int], picture.getpixel((0, 0)))
    apart = ImageChops.difference(picture, Image.new("RGB", picture.size, corner)).convert("L")
    box = apart.point(lambda value: 255 if value > PLAIN else 0).getbbox()
    if box is None:
        return None
    spare = round(MARGIN * max(picture.size))
    left, top, right, bottom = box
    kept = (
        max(0, left - spare),
        max(0, top - spare),
        min(picture.width, right + spare),
        min(picture.height, bottom + spare),
    )
    return None if kept == (0, 0, *picture.size) else kept


def _without_faces(picture: Image.Image, wanted: str) -> tuple[Image.Image, int | None]:
    if wanted == "none" or not faces.can_search():
        return picture, None
    covered, boxes = (faces.cropped_below if wanted == "crop" else faces.mosaicked)(picture)
    return covered, len(boxes)


def _check_size(image: Image.Image, limits: DecodeLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise Unreadable(f"{width} x {height} pixels are more than the {limits.max_pixels:,} allowed")
    if width < 1 or height < 1:
        raise Unreadable("the picture has no pixels")


def _kind_and_frames(image: Image.Image, findings: list[dict[str, str]]) -> tuple[str, int]:
    # A JPEG with a gain map or preview behind it announces itself as MPO; its first picture is meant.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and kind == "TIFF":
        findings.append({"code": "pages", "detail": f"the first of {frames} pages is used"})
    elif frames > 1 and kind != "JPEG":
        findings.append({"code": "animated", "detail": f"the first of {frames} frames is used"})
    return kind, frames


def _upright(image: Image.Image, findings: list[dict[str, str]]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except BROKEN_FILE as error:
        findings.append({"code": "bad_exif", "detail": f"orientation unknown: {_sentence(error)}"})
        return image


def _to_srgb(image: Image.Image, profile: bytes | None, findings: list[dict[str, str]]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_grey(image).convert("RGB")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode in ("P", "PA", "1", "LA", "La", "RGBX"):
        image = image.convert("RGB")
    image = _through_profile(image, profile, findings)
    if alpha is None:
        return image
    on_white = Image.new("RGB", image.size, WHITE)
    on_white.paste(image, mask=alpha)
    return on_white


def _deep_to_grey(image: Image.Image) -> Image.Image:
    """Scales more than eight bits to eight; a plain `convert` would clip nearly everything to white."""
    plain = image if image.mode == "F" else image.convert("I")
    low, high = cast(tuple[float, float], plain.getextrema())
    if image.mode != "F" and low >= 0 and high <= 65_535:
        low, high = 0, 65_535
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    if not high > low:
        low, high = 0, max(high, 1)
    scale = 255 / (high - low)
    # Half a step up, for the conversion to eight bits cuts off instead of rounding.
    return plain.convert("F").point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _through_profile(
    image: Image.Image, profile: bytes | None, findings: list[dict[str, str]]
) -> Image.Image:
    if image.mode == "LAB":
        return _transformed(image, ImageCms.createProfile("LAB"))
    if profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            return _transformed(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except BROKEN_FILE as error:
            findings.append({"code": "bad_profile", "detail": f"colour profile ignored: {_sentence(error)}"})
    return image.convert("RGB")


def _transformed(image: Image.Image, source: Any) -> Image.Image:
    out = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert out is not None
    return out


def _pixel_digest(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    for top in range(0, image.height, HASHED_ROWS):
        digest.update(image.crop((0, top, image.width, min(top + HASHED_ROWS, image.height))).tobytes())
    return digest.hexdigest()


def _shrunk(image: Image.Image, factor: float, gap: float | None = None) -> Image.Image:
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)


def _write_jpeg(image: Image.Image, out: IO[bytes], quality: int) -> None:
    if max(image.size) > JPEG_MAX_SIDE:
        raise Unreadable(f"{image.width} x {image.height} pixels cannot be held by a JPEG")
    # Pillow hands comments and the like on from here even when `save` was told nothing of them.
    image.info = {}
    image.save(out, "JPEG", quality=quality, optimize=True)


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


def _obey(order: dict[str, Any], limits: DecodeLimits) -> dict[str, Any]:
    source = Path(order["source"])
    made = (io.BytesIO(), io.BytesIO())
    derived: Derived | Changed
    try:
        if "changes" in order:
            derived = make_changed(source, *made, limits, Changes(**order["changes"]))
        else:
            derived = make_derivatives(source, *made, limits)
    except Unreadable as error:
        return {"unreadable": error.reason}
    except BOMB:
        return {"unreadable": f"the picture has more than the {limits.max_pixels:,} pixels allowed"}
    except MemoryError:
        return {"unreadable": "the picture needs more memory than it may have", "spent": True}
    except UnidentifiedImageError:
        return {"unreadable": f"no picture in one of these formats: {', '.join(DECODERS)}"}
    except BROKEN_FILE as error:
        return {"unreadable": f"damaged: {_sentence(error)}".replace(str(source), "the file")}
    try:
        for part, data in zip(order["parts"], made, strict=True):
            with Path(part).open("wb") as file:
                file.write(data.getbuffer())
                file.flush()
                # The row that names the file is about to be committed, and outlives a power cut.
                os.fsync(file.fileno())
    except OSError as error:
        # A full disk says nothing against the picture.
        return {"unwritten": str(error)}
    return asdict(derived)


def _limit_this_process(limits: DecodeLimits) -> None:
    for kind, value in ((resource.RLIMIT_AS, limits.memory_bytes), (resource.RLIMIT_CORE, 0)):
        # Some systems know the limit but do not take it; the wall clock still holds there.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _grant_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


@contextmanager
def _private_output() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Keeps the answers' pipe to ourselves: what a codec prints must not look like an answer."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)

        def answer(result: dict[str, Any]) -> None:
            answers.write(json.dumps(result).encode() + b"\n")
            answers.flush()

        yield answer


def serve(limits: DecodeLimits) -> None:
    """The child's life: one order a line on stdin, one answer a line on stdout, until stdin closes."""
    if limits.faces != "none" and faces.can_search():
        faces.warm_up()
    _limit_this_process(limits)
    with _private_output() as answer:
        for line in sys.stdin.buffer:
            _grant_cpu(limits.cpu_seconds)
            answer(_obey(json.loads(line), limits))


if __name__ == "__main__":
    serve(DecodeLimits(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else DecodeLimits())
