"""What the guideline's classifiers take in (7.1): a folder per value, or files listed with their labels."""

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from crowd.core.ondisk import files_below
from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import UNSAFE, Written
from crowd.datasets.formats.kinds import Fetch, File, FileSet, Guide, Stream, Vectors, Whole, piece
from crowd.datasets.inspect import Found, inspect
from crowd.datasets.records import Header, ReleasedImage, Split
from crowd.images import faces
from crowd.taxonomy import Match, Taxonomy

STYLES = "styles"
CROP_QUALITY = 95
# Attribute, split, value, file.
CROP_DEPTH = 4
LONGEST_LAYOUT = 20


class Classifier:
    """`styles`: the style classifier's lists; or the key of an attribute: its classifier's folders."""

    name = "classifier"
    by_split = True
    needs: Sequence[str] = ()

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        keys = (attribute.key for attribute in taxonomy.attributes)
        return (STYLES, *(key for key in keys if key != STYLES and len(key) <= LONGEST_LAYOUT))

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        return None

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        if layout != STYLES:
            yield from (crop for record in records for crop in _crops(record, layout))
            return
        places = {style.key: place for place, style in enumerate(taxonomy.styles)}
        rows = []
        for record in records:
            path = PurePosixPath(record.split, f"{record.id}.jpg")
            yield File(PurePosixPath("images") / path, record, (record.id,))
            rows.append(
                {
                    "file_name": path.as_posix(),
                    "labels": [places[style] for style in record.styles if style in places],
                }
            )
        lines = ",\n".join(json.dumps(row) for row in rows)
        yield piece(f"{records[0].split}-{page:06}.labels", lines.encode())

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        if whole.header.layout != STYLES:
            return
        names = [style.key for style in whole.taxonomy.styles]
        yield File(PurePosixPath("labels.json"), _json(names))
        for split in Split:
            if paths := whole.pieces(f"{split}-*.labels"):
                yield File(PurePosixPath(f"{split}.json"), _joined(paths))
        correlation = conditional(whole.pieces(f"{Split.TRAIN}-*.labels"), len(names))
        yield File(PurePosixPath("correlation.json"), _rows(correlation))
        if whole.words:
            yield File(PurePosixPath("embeddings.json"), _rows(embeddings(names, whole.words)))

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        for style in record.styles:
            known = taxonomy.has_style(style)
            how = Match.EXACT if known else "not in this version of the taxonomy"
            yield Written("style", None, style, style if known else None, how)

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        if header.layout == STYLES:
            return Guide(
                'rows = json.load(open("train.json"))  # "labels": places in labels.json\n'
                'correlation = numpy.array(json.load(open("correlation.json")))\n'
                'image = PIL.Image.open("images/" + rows[0]["file_name"])',
                losses=("Styles alone are here: no outlines and no attributes.",),
                notes=(
                    "`correlation.json`, row i, column j: of the training images with style i, the share "
                    "with style j too. `embeddings.json` (if word vectors were given): a row a style, the "
                    "mean of the vectors of the words of its name; zeros where no word is known.",
                ),
            )
        return Guide(
            f'train = torchvision.datasets.ImageFolder("{header.layout}/train")\n'
            "image, place = train[0]\n"
            "value = train.classes[place]",
            losses=(
                f"The values of {header.layout} alone are here, each region cut out by its outlines' bounds "
                f"and compressed anew (JPEG, quality {CROP_QUALITY}): its pixels are no longer those of the "
                "delivered image.",
                "A face that the detector finds in a crop is covered by coarse blocks (where the extra "
                "`faces` is installed).",
                "A region without a value is left out; one with several values lies in the folder of each.",
            ),
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        if layout == STYLES:
            return (FileSet("images", "images/*/*.jpg", "image/jpeg"),)
        return (FileSet("crops", f"{layout}/*/*/*.jpg", "image/jpeg"),)

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        if (folder / "labels.json").is_file():
            return inspect(folder, read(folder), taxonomy, whole=False)
        return inspect(folder, read_crops(folder), taxonomy, whole=False)


def read(folder: Path) -> Iterator[Found]:
    """Every image of the styles layout, with its styles."""
    names = json.loads((folder / "labels.json").read_bytes())
    for split in Split:
        path = folder / f"{split}.json"
        for row in _listed(path) if path.is_file() else ():
            labels = {
                "id": int(PurePosixPath(row["file_name"]).stem),
                "split": split.value,
                "styles": [names[place] for place in row["labels"]],
            }
            image = folder / "images" / row["file_name"]
            yield Found(f"{split}.json: {row['file_name']}", labels, image.read_bytes)


def _listed(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a list with a row a line. Raises ValueError where the whole would be no JSON."""
    with path.open("rb") as file:
        if file.read(1) != b"[":
            raise ValueError(f"{path.name}: is no list")
        ending = b",\n"
        for line in file:
            if ending != b",\n":
                raise ValueError(f"{path.name}: something stands behind its end")
            ending = line[-2:]
            yield json.loads(line[:-2])
        if ending != b"]\n":
            raise ValueError(f"{path.name}: breaks off")


def read_crops(folder: Path) -> Iterator[Found]:
    """Every crop of an attribute's folders; its image is another than the delivered one."""
    for where in files_below(folder):
        path = PurePosixPath(where)
        if len(path.parts) == CROP_DEPTH and path.suffix == ".jpg":
            attribute, split, value, name = path.parts
            labels = {"id": int(name.split("_")[0]), "split": split, "attribute": attribute, "value": value}
            yield Found(where, labels, (folder / where).read_bytes, changed=True)


def conditional(pieces: Sequence[Path], labels: int) -> list[list[float]]:
    """How often label j stands beside label i, as a share of i's images; 1 on the diagonal of what occurs."""
    together: Counter[tuple[int, int]] = Counter()
    for path in pieces:
        for row in json.loads(f"[{path.read_text()}]"):
            together.update((one, other) for one in row["labels"] for other in row["labels"])
    return [
        [
            round(together[one, other] / together[one, one], 6) if together[one, one] else 0.0
            for other in range(labels)
        ]
        for one in range(labels)
    ]


def embeddings(names: Sequence[str], words: Vectors) -> list[list[float]]:
    """A vector for each name: the mean of those of its words, zeros where none of them is known."""
    size = len(next(iter(words.values())))
    rows = []
    for name in names:
        found = [words[word] for word in words_of(name) if word in words]
        rows.append(
            [round(sum(column) / len(found), 6) for column in zip(*found, strict=True)] or [0.0] * size
        )
    return rows


def words_of(name: str) -> list[str]:
    """The words in the key of a label: `hip-hop` has two."""
    return UNSAFE.sub(" ", name).replace("-", " ").replace("_", " ").casefold().split()


def read_vectors(path: Path, wanted: frozenset[str]) -> dict[str, list[float]]:
    """The vectors of the `wanted` words, from a text file of word2vec or GloVe.

    Raises ValueError naming the line, and OSError.
    """
    found: dict[str, list[float]] = {}
    size = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            word, *numbers = line.rstrip().split(" ")
            if number == 1 and len(numbers) == 1:
                continue  # word2vec begins with how many words there are, and their size
            if word.casefold() in wanted:
                vector = [float(each) for each in numbers]
                if not vector or size not in (0, len(vector)):
                    raise ValueError(f"line {number}: {len(vector)} numbers, not {size or 'some'}")
                size = len(vector)
                found.setdefault(word.casefold(), vector)
    return found


def _crops(record: ReleasedImage, attribute: str) -> Iterator[File]:
    for place, region in enumerate(record.regions, 1):
        value = record.attributes.get(region["id"], {}).get(attribute)
        for key in value if isinstance(value, list) else [value]:
            if key is not None:
                folder = PurePosixPath(attribute, record.split, UNSAFE.sub("_", key))
                yield File(folder / f"{record.id}_{place}.jpg", _cut(record, region), (record.id,))


def _cut(record: ReleasedImage, region: dict[str, Any]) -> Stream:
    points = [point for ring in region["rings"] for point in ring]
    left, top = (int(min(point[axis] for point in points)) for axis in (0, 1))
    right, bottom = (max(point[axis] for point in points) for axis in (0, 1))

    def write(out: Any, fetch: Fetch) -> None:
        with Image.open(io.BytesIO(fetch(record)), formats=["JPEG"]) as image:
            box = (left, top, max(left + 1, round(right)), max(top + 1, round(bottom)))
            out.write(_faceless(image.crop(box)))

    return write


def _faceless(crop: Image.Image) -> bytes:
    """The JPEG of a crop. It is larger in its frame than it was in the image, so a face may be seen anew.

    Where one is found however it is covered, the whole crop becomes coarse blocks.
    """
    if not faces.can_search():
        return _compressed(crop)
    covered = faces.mosaicked(crop, lambda picture: Image.open(io.BytesIO(_compressed(picture))))
    if covered.left:
        faces.cover(covered.picture, (0, 0, *crop.size))
    return _compressed(covered.picture)


def _compressed(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=CROP_QUALITY)
    return out.getvalue()


def _joined(paths: Sequence[Path]) -> Stream:
    def write(out: Any, fetch: Fetch) -> None:
        out.write(b"[")
        for number, path in enumerate(paths):
            out.write((b",\n" if number else b"") + path.read_bytes())
        out.write(b"]\n")

    return write


def _json(form: Any) -> bytes:
    return (json.dumps(form, ensure_ascii=False) + "\n").encode()


def _rows(matrix: Sequence[Sequence[float]]) -> bytes:
    return ("[" + ",\n".join(json.dumps(row) for row in matrix) + "]\n").encode()
