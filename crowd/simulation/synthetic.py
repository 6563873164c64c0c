"""A drawn K-Fashion data set on disk, in the very form a release is exported in, for training and its tests.

What an image shows follows from its number and the seed alone: a set that was broken off is written again,
with the same bytes.
"""

import csv
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from crowd.core.errors import Conflict
from crowd.datasets import datasheet
from crowd.datasets.formats import KFashion
from crowd.datasets.formats.kfashion import Layout, document, encode, paths
from crowd.datasets.records import COLUMNS, MANIFEST, README, Header, ReleasedImage, Split
from crowd.datasets.split import look_of, split_looks
from crowd.datasets.tally import Tally
from crowd.simulation.drawing import draw_outfit
from crowd.simulation.looks import LOOK_SIZE, as_jpeg, look_name
from crowd.simulation.wardrobe import Outfit, dress_up
from crowd.taxonomy import Taxonomy, load_taxonomy

MARKER = ".synthetic.json"
# The same arguments are to give the same bytes, whenever they are given.
DRAWN_AT = datetime(2026, 1, 1, tzinfo=UTC)
# Images handed to another process at a time.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be drawn: how many images, `size` pixels wide, from which seed, in which layout."""

    images: int
    seed: int
    size: int
    layout: Layout = Layout.RELEASE


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of the set: its number, counted from 1, the outfit it shows, and its split."""

    number: int
    outfit: Outfit
    split: Split


def write_set(folder: Path, order: Order, processes: int, progress: Callable[[int], None]) -> None:
    """Draw the whole set into `folder`, in that many processes.

    Two shots make a look: one outfit, twice photographed, and never in two splits. `progress` is told after
    each image how many there are. Raises Conflict `folder_taken` for a folder that holds anything else, and
    OSError.
    """
    _claim(folder, order)
    draw_one = partial(write_image, folder, order)
    if processes == 1:
        _write_lists(folder, order, map(draw_one, pictures(order)), progress)
        return
    # Spawned, for the bar that shows the progress is a thread, and forking would copy its locks.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            written = pool.map(draw_one, pictures(order), chunksize=CHUNK)
            _write_lists(folder, order, written, progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def pictures(order: Order) -> list[Picture]:
    """What every image of the set shows, and the 80:10:10 split of them by look, even within each style."""
    numbers = range(1, order.images + 1)
    outfits = [dress_up(_dice(order, f"look {(number - 1) // LOOK_SIZE}")) for number in numbers]
    looks = [look_of(number, look_name(number)) for number in numbers]
    shares = split_looks((look, outfit.styles[0]) for look, outfit in zip(looks, outfits, strict=True))
    return [
        Picture(number, outfit, shares[look])
        for number, outfit, look in zip(numbers, outfits, looks, strict=True)
    ]


def write_image(folder: Path, order: Order, picture: Picture) -> tuple[ReleasedImage, str]:
    """Draw one image and write it with its JSON; returns its record and the SHA-256 of its JPEG file."""
    drawn = draw_outfit(_dice(order, f"image {picture.number}"), picture.outfit, order.size)
    record = ReleasedImage(
        id=picture.number,
        file_name=look_name(picture.number),
        width=drawn.image.width,
        height=drawn.image.height,
        created_at=DRAWN_AT,
        split=picture.split,
        regions=drawn.truth["segmentation"]["regions"],
        attributes=drawn.truth["attributes"]["regions"],
        styles=drawn.truth["styles"]["styles"],
        working=folder,
    )
    image, text = paths(record, order.layout, _taxonomy())
    jpeg = as_jpeg(drawn.image)
    _put(folder / image, jpeg)
    _put(folder / text, encode(document(record, _taxonomy())))
    return record, hashlib.sha256(jpeg).hexdigest()


def _dice(order: Order, of: str) -> random.Random:
    return random.Random(f"{order.seed}/{of}")


@cache
def _taxonomy() -> Taxonomy:
    return load_taxonomy()


def _claim(folder: Path, order: Order) -> None:
    told = json.dumps(asdict(order)).encode()
    marker = folder / MARKER
    if marker.is_file() and marker.read_bytes() == told:
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict("folder_taken", f"{folder}: holds something other than this set; name another folder.")
    _put(marker, told)


def _write_lists(
    folder: Path,
    order: Order,
    written: Iterable[tuple[ReleasedImage, str]],
    progress: Callable[[int], None],
) -> None:
    """Count the images as they come, then write the data sheet and the list of all files."""
    tally, rows = Tally(), []
    for record, digest in written:
        tally.add(record, KFashion().values(record, _taxonomy()))
        rows.append(_row(record, digest, order.layout))
        progress(tally.images)
    header = Header(f"Synthetic set of seed {order.seed}", DRAWN_AT, order.layout.value)
    _put(folder / README, datasheet.render(header, tally, KFashion(), _taxonomy()).encode())
    _put(folder / MANIFEST, _table([COLUMNS, *rows]))


def _row(record: ReleasedImage, digest: str, layout: Layout) -> Sequence[object]:
    files = ";".join(path.as_posix() for path in paths(record, layout, _taxonomy()))
    return record.id, record.split.value, record.styles[0], files, digest


def _table(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _put(target: Path, data: bytes) -> None:
    """A file that is there as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(data)
    part.replace(target)
