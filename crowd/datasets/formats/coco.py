"""COCO instances: a category for each garment part, its attributes beside each outline, a file a split."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from crowd.core.clock import rfc3339
from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import Fetch, File, FileSet, Guide, Whole, piece
from crowd.datasets.inspect import Found, inspect
from crowd.datasets.records import Header, ReleasedImage, Split, plain
from crowd.taxonomy import Taxonomy

# An image has at most 32 regions, so this keeps the numbers of annotations apart for ever.
REGIONS_PER_IMAGE = 100
LISTS = ("images", "annotations")


class Coco:
    """Images by split, and `annotations/instances_<split>.json`."""

    name = "coco"
    by_split = True
    needs: Sequence[str] = ()

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        return ("instances",)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        return None

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        numbers = {part.key: number for number, part in enumerate(taxonomy.parts, 1)}
        split = records[0].split
        for record in records:
            yield File(PurePosixPath("images", split, f"{record.id}.jpg"), record, (record.id,))
        lists = {
            "images": [_image(record) for record in records],
            "annotations": [each for record in records for each in _annotations(record, numbers)],
        }
        for name in LISTS:
            lines = ",\n".join(_compact(each) for each in lists[name])
            yield piece(f"{split}-{page:06}.{name}", lines.encode())

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        for split in Split:
            pieces = {name: whole.pieces(f"{split}-*.{name}") for name in LISTS}
            if pieces["images"]:
                path = PurePosixPath("annotations", f"instances_{split}.json")
                yield File(path, _Joined(_head(whole), pieces))

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        return iter(())

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        return Guide(
            'coco = pycocotools.coco.COCO("annotations/instances_train.json")\n'
            "image = coco.loadImgs(coco.getImgIds()[0])[0]\n"
            'regions = coco.loadAnns(coco.getAnnIds(image["id"]))  # regions[0]["attributes"]',
            notes=(
                "`file_name` is relative to `images/`; an image carries `styles` (main style first), an "
                "annotation `attributes` and `region`, the name of the region in its image.",
                "`bbox` and `area` follow the outlines (`area` is their sum, so that outlines which overlap "
                "count twice); `drawn_box` is the box that the labeller drew.",
            ),
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        return (
            FileSet("images", "images/*/*.jpg", "image/jpeg"),
            FileSet("annotations", "annotations/*.json", "application/json"),
        )

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        return inspect(folder, read(folder), taxonomy)


class _Joined:
    """A split's file, copied together of its pieces; each of them fits into memory, all together need not."""

    def __init__(self, head: Mapping[str, Any], pieces: Mapping[str, Sequence[Path]]) -> None:
        self._head = head
        self._pieces = pieces

    def __call__(self, out: IO[bytes], fetch: Fetch) -> None:
        out.write(_compact(self._head).encode()[:-1])
        for name in LISTS:
            out.write(f',\n"{name}":[\n'.encode())
            filled = [path for path in self._pieces[name] if path.stat().st_size]
            for number, path in enumerate(filled):
                out.write(b",\n" if number else b"")
                with path.open("rb") as source:
                    shutil.copyfileobj(source, out)
            out.write(b"\n]")
        out.write(b"}\n")


def read(folder: Path) -> Iterator[Found]:
    """Every image of such an export, with its labels in the form of `plain`; one is in memory at a time.

    Raises ValueError for a file of another form than ours: a line for the head, and one for each object.
    """
    for path in sorted((folder / "annotations").glob("instances_*.json")):
        yield from _read_split(folder, path)


def _read_split(folder: Path, path: Path) -> Iterator[Found]:
    parts = {each["id"]: each["name"] for each in _read_head(path)["categories"]}
    # Both lists go by image, so one pass through them, side by side, is enough.
    annotations = _entries(path, "annotations")
    following = next(annotations, None)
    for image in _entries(path, "images"):
        regions = []
        while following is not None and following["image_id"] == image["id"]:
            regions.append(_region(following, parts))
            following = next(annotations, None)
        labels = {
            "id": image["id"],
            "file_name": image["source_name"],
            "width": image["width"],
            "height": image["height"],
            "split": path.stem.removeprefix("instances_"),
            "created_at": image["date_captured"],
            "updated_at": image["date_labelled"],
            "styles": image["styles"],
            "regions": regions,
        }
        file = folder / "images" / image["file_name"]
        yield Found(f"{path.name}: image {image['id']}", labels, file.read_bytes)
    if following is not None:
        raise ValueError(f"{path.name}: annotation {following['id']} is not in the place of its image")


def _read_head(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        head: dict[str, Any] = json.loads(file.readline().removesuffix(b",\n") + b"}")
    return head


def _entries(path: Path, wanted: str) -> Iterator[dict[str, Any]]:
    """The objects of one of the lists; all lines are held to what makes the whole file JSON."""
    with path.open("rb") as file:
        if not file.readline().endswith(b",\n"):
            raise ValueError(f"{path.name}: there is no head")
        for name in LISTS:
            if file.readline() != f'"{name}":[\n'.encode():
                raise ValueError(f"{path.name}: the list {name} is not in its place")
            for line in _lines_of_list(file, b"]}\n" if name == LISTS[-1] else b"],\n"):
                if name == wanted:
                    yield json.loads(line)
        if file.read(1):
            raise ValueError(f"{path.name}: something stands behind its end")


def _lines_of_list(file: IO[bytes], end: bytes) -> Iterator[bytes]:
    """The lines up to `end`, without the commas that stand behind all but the last. Raises ValueError."""
    is_last = False
    for line in iter(file.readline, end):
        if is_last or not line.endswith(b"\n"):
            raise ValueError(f"{file.name}: a list breaks off")
        is_last = not line.endswith(b",\n")
        if line != b"\n":
            yield line.removesuffix(b"\n").removesuffix(b",")
    if not is_last:
        raise ValueError(f"{file.name}: a list ends in a comma")


def flat_rings(rings: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Outlines as COCO has them: x, y, x, y and so on."""
    return [[number for point in ring for number in point] for ring in rings]


def _image(record: ReleasedImage) -> dict[str, Any]:
    form = plain(record)
    return {
        "id": record.id,
        "width": record.width,
        "height": record.height,
        "file_name": f"{record.split.value}/{record.id}.jpg",
        "source_name": record.file_name,
        "date_captured": form["created_at"],
        "date_labelled": form["updated_at"],
        "styles": record.styles,
    }


def _annotations(record: ReleasedImage, numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for place, region in enumerate(record.regions):
        rings = region["rings"]
        across = [x for ring in rings for x, _ in ring]
        down = [y for ring in rings for _, y in ring]
        yield {
            "id": record.id * REGIONS_PER_IMAGE + place,
            "image_id": record.id,
            "category_id": numbers[region["part"]],
            "segmentation": flat_rings(rings),
            "area": sum(_area(ring) for ring in rings),
            "bbox": [min(across), min(down), max(across) - min(across), max(down) - min(down)],
            "iscrowd": 0,
            "region": region["id"],
            "drawn_box": region.get("box"),
            "attributes": record.attributes.get(region["id"], {}),
        }


def _area(ring: Sequence[Sequence[float]]) -> float:
    following = [*ring[1:], ring[0]]
    return abs(sum(x * down - across * y for (x, y), (across, down) in zip(ring, following, strict=True))) / 2


def _head(whole: Whole) -> dict[str, Any]:
    return {
        "info": {
            "description": whole.header.release,
            "version": str(whole.header.revision),
            "date_created": rfc3339(whole.header.created_at),
            "taxonomy": whole.taxonomy.name,
            "taxonomy_version": whole.taxonomy.version,
        },
        "licenses": [],
        "categories": [
            {"id": number, "name": part.key, "supercategory": "garment", "name_ko": part.ko}
            for number, part in enumerate(whole.taxonomy.parts, 1)
        ],
    }


def _region(annotation: Mapping[str, Any], parts: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": annotation["region"],
        "part": parts[annotation["category_id"]],
        "box": annotation["drawn_box"],
        "rings": [
            [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]
            for flat in annotation["segmentation"]
        ],
        "attributes": annotation["attributes"],
    }


def _compact(form: Any) -> str:
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
