"""Working images, made: what the child process does that reads files nobody trusts.

Started by crowd.images.decode, which sends orders and guards time; the limits of memory and processor time
are this process's own. It knows of ours only what measures pictures.
"""

import hashlib
import io
import json
import os
import resource
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from PIL import Image, ImageChops, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from crowd.images import faces
from crowd.images.decode import Changed, Changes, DecodeLimits, Derived, Unreadable
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
WHITE = (255, 255, 255)
HASHED_ROWS = 64
THUMBNAIL_QUALITY = 85
# A thumbnail is averaged down to twice its size first: a third of the time, and nobody sees it.
THUMBNAIL_GAP = 2.0
PLAIN = 16
# Of a plain margin so much (of the longer side) stays around what is in front of it.
MARGIN = 0.04
# Behind whatever people wait for.
NICENESS = 10


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
    picture, covered = _write_faceless(picture, working, limits.faces, limits.quality, findings)
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
    how = "none" if limits.faces == "none" else "mosaic"
    picture, found = _write_faceless(picture, working, how, limits.quality, [])
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


def _write_faceless(
    picture: Image.Image, out: IO[bytes], how: str, quality: int, findings: list[dict[str, str]]
) -> tuple[Image.Image, int | None]:
    """Writes the picture without its faces; as it is now, and how many were found, None if nobody looked."""
    if how == "none" or not faces.can_search():
        _write_jpeg(picture, out, quality)
        return picture, None
    saved = _Saved(quality)
    covered = (faces.cropped_below if how == "crop" else faces.mosaicked)(picture, saved)
    if covered.left:
        detail = f"faces that are found however they are covered: {covered.left}"
        findings.append({"code": "face_left", "detail": detail})
    out.write(saved.jpeg)
    return covered.picture, len(covered.boxes)


class _Saved:
    """A picture as whoever gets its file sees it; `jpeg` is that file."""

    def __init__(self, quality: int) -> None:
        self.jpeg = b""
        self._quality = quality

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The picture, compressed and opened again."""
        out = io.BytesIO()
        _write_jpeg(picture, out, self._quality)
        self.jpeg = out.getvalue()
        return Image.open(out, formats=["JPEG"])


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
    # It waits longer then, not in vain: whoever ordered the picture sees that it only lacks a processor.
    os.nice(NICENESS)
    if limits.faces != "none" and faces.can_search():
        faces.warm_up()
    _limit_this_process(limits)
    with _private_output() as answer:
        for line in sys.stdin.buffer:
            _grant_cpu(limits.cpu_seconds)
            answer(_obey(json.loads(line), limits))


if __name__ == "__main__":
    serve(DecodeLimits(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else DecodeLimits())
