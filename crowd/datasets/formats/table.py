"""The guideline's tables (annex 1) as CSV, with the SQL that makes them: its fields and lengths.

The annex lists no keys, without which no row would belong to another: they are added behind its fields.
"""

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias

from crowd.core.ondisk import DiskMap
from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import Written, rect
from crowd.datasets.formats.kinds import Fetch, File, FileSet, Guide, Unsayable, Whole, piece, values_unknown
from crowd.datasets.inspect import Found, inspect
from crowd.datasets.records import MANIFEST, Header, ReleasedImage
from crowd.taxonomy import Style, Taxonomy, Value

# 11 places of which four follow the point.
DECIMALS = 4
STYLE = "style"
ATTRIBUTES_STEP, STYLES_STEP = 2, 3

Row: TypeAlias = dict[str, str]
# The number of a value's row, by attribute key and value key.
Items: TypeAlias = Mapping[tuple[str, str], str]


class Type(StrEnum):
    """What a field holds; a Number's length counts its digits, a String's its characters."""

    STRING = "String"
    NUMBER = "Number"
    DATETIME = "Datetime"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table; `key` marks those that the guideline does not list."""

    name: str
    type: Type
    length: int
    required: bool = False
    key: bool = False
    whole: bool = False

    def fault(self, text: str) -> str | None:
        """What is wrong with a value as it is written; None if it fits."""
        if not text:
            return f"{self.name} is required" if self.required else None
        if self.type is Type.NUMBER:
            return None if self._fits(text) else f"{self.name} {text} has more than {self.length} digits"
        fits = len(text) <= self.length
        return None if fits else f"{self.name} has {len(text)} characters of {self.length}"

    def _fits(self, text: str) -> bool:
        before, _, after = text.lstrip("-").partition(".")
        return len(before) <= self.length - (0 if self.whole else DECIMALS) and len(after) <= DECIMALS

    @property
    def sql(self) -> str:
        """Its line in the CREATE TABLE."""
        places = "" if self.whole else f", {DECIMALS}"
        kind = {
            Type.STRING: f"VARCHAR({self.length})",
            Type.NUMBER: f"NUMERIC({self.length}{places})",
            Type.DATETIME: "TIMESTAMP",
        }[self.type]
        return f"{self.name} {kind}{' NOT NULL' if self.required else ''}"


def _number(name: str, *, required: bool = False, key: bool = False, whole: bool = False) -> Field:
    return Field(name, Type.NUMBER, 11, required, key, whole)


def _key(name: str, *, required: bool = True) -> Field:
    return _number(name, required=required, key=True, whole=True)


TIMES = (Field("create_datetime", Type.DATETIME, 50), Field("update_datetime", Type.DATETIME, 50))
TABLES: Mapping[str, tuple[Field, ...]] = {
    "image_table": (Field("img_path", Type.STRING, 100, required=True), *TIMES, _key("image_no")),
    "image_location_rect": (
        _number("rect_no", whole=True),
        _number("location_X", required=True),
        _number("location_Y", required=True),
        _number("location_width"),
        _number("location_height"),
        _number("scale_X"),
        _number("scale_Y"),
        *TIMES,
        _key("image_no"),
        _key("region_no"),
        _key("polygon_no"),
    ),
    "image_location_polygon": (
        _number("no", whole=True),
        _number("location_X", required=True),
        _number("location_Y", required=True),
        _number("location_seq", required=True, whole=True),
        *TIMES,
        _key("image_no"),
        _key("region_no"),
    ),
    "category": (
        Field("category_name", Type.STRING, 64, required=True),
        _number("category_step", whole=True),
        *TIMES,
        _key("category_no"),
        Field("category_key", Type.STRING, 64, required=True, key=True),
    ),
    "category_item": (
        Field("category_item_name", Type.STRING, 64, required=True),
        *TIMES,
        _key("category_item_no"),
        _key("category_no"),
        Field("category_item_key", Type.STRING, 64, required=True, key=True),
    ),
    "label": (
        _number("category_item_no", whole=True),
        *TIMES,
        _key("image_no"),
        _key("region_no", required=False),
    ),
}
POLYGONS = "image_location_polygon"
BY_IMAGE = ("image_table", "image_location_rect", POLYGONS, "label")
PRIMARY = {"image_table": ("image_no",), "category": ("category_no",), "category_item": ("category_item_no",)}
FOREIGN: Mapping[str, Sequence[tuple[str, str]]] = {
    "image_location_rect": (("image_no", "image_table"),),
    "image_location_polygon": (("image_no", "image_table"),),
    "category_item": (("category_no", "category"),),
    "label": (("category_item_no", "category_item"), ("image_no", "image_table")),
}


class Table:
    """One CSV file a table, `schema.sql`, and the images below `images/`."""

    name = "table"
    by_split = False
    needs: Sequence[str] = ()

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        return ("guideline",)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        faults = [
            fault
            for table, rows in _vocabulary(taxonomy, "").items()
            for row in rows
            if (fault := _fault(table, row))
        ]
        faults += [f"the part {part.key} has no rect_no" for part in taxonomy.parts if part.rect_no is None]
        return (
            f"the guideline's tables cannot hold {taxonomy.name}: {'; '.join(faults[:5])}" if faults else None
        )

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files. Raises Unsayable for a value that its field cannot hold."""
        items = _item_numbers(taxonomy)
        for record in records:
            yield File(_path(record), record, (record.id,))
        polygons = "".join(line for record in records for line in _polygon_lines(record))
        yield piece(f"{POLYGONS}-{page:06}.csv", polygons.encode())
        for table in ROWS:
            rows = [row for record in records for row in ROWS[table](record, taxonomy, items)]
            for row in rows:
                if fault := _fault(table, row):
                    raise Unsayable(f"image {row['image_no']}: {table}: {fault}")
            yield piece(f"{table}-{page:06}.csv", _csv(table, rows))

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        yield File(PurePosixPath("schema.sql"), schema().encode())
        vocabulary = _vocabulary(whole.taxonomy, _moment(whole.header.created_at))
        for table in TABLES:
            head = _csv(table, [{field.name: field.name for field in TABLES[table]}])
            path = PurePosixPath(f"{table}.csv")
            if table in vocabulary:
                yield File(path, head + _csv(table, vocabulary[table]))
            else:
                yield File(path, _Joined(head, whole.pieces(f"{table}-*.csv")))

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        yield from values_unknown(record, taxonomy)
        for region in record.regions:
            for number in (number for ring in region["rings"] for point in ring for number in point):
                if isinstance(number, float) and round(number, DECIMALS) != number:
                    yield Written("coordinate", region["part"], "fifth decimal", "rounded", "length 11")

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        return Guide(
            'db = sqlite3.connect(":memory:"); db.executescript(open("schema.sql").read())\n'
            'rows = list(csv.reader(open("label.csv", encoding="utf-8")))[1:]\n'
            "db.executemany(f\"INSERT INTO label VALUES ({', '.join('?' * len(rows[0]))})\", rows)",
            losses=(
                "Coordinates have four decimals, so that they fit into 11 places.",
                "The names of regions and the boxes that labellers drew are left out: a region is a number "
                "within its image, a rectangle follows its polygon as in K-Fashion files.",
                "The suppliers' file names are left out.",
            ),
            notes=(
                "The guideline lists no keys; those that tie the tables together stand behind its fields.",
                "`rect_no`: 1 outer, 2 top, 3 bottom, 4 dress. `category_step`: 2 attributes, 3 styles.",
                "A style is a label without `region_no`, the main style first. `scale_X` and `scale_Y` "
                "are 1: coordinates are pixels of the delivered image.",
            ),
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        return (FileSet("images", "images/*.jpg", "image/jpeg"), FileSet("tables", "*_*.csv", "text/csv"))

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        report = inspect(folder, read(folder, taxonomy), taxonomy)
        for table in TABLES:
            for number, row in enumerate(_rows(folder, table), 2):
                if fault := _fault(table, row):
                    report.note("form", f"{table}.csv: line {number}: {fault}")
        return report


class _Joined:
    """A table copied together of its pieces."""

    def __init__(self, head: bytes, pieces: Sequence[Path]) -> None:
        self._head = head
        self._pieces = pieces

    def __call__(self, out: IO[bytes], fetch: Fetch) -> None:
        out.write(self._head)
        for path in self._pieces:
            with path.open("rb") as source:
                shutil.copyfileobj(source, out)


def schema() -> str:
    """The SQL that makes the tables: what others refer to comes first."""
    order = (
        "image_table",
        "category",
        "category_item",
        "image_location_rect",
        "image_location_polygon",
        "label",
    )
    return "\n".join(_create(table) for table in order)


def read(folder: Path, taxonomy: Taxonomy) -> Iterator[Found]:
    """Every image of such an export, with its labels in the form of `plain` less what the tables lose.

    The tables go by image, so one pass through them all, side by side, is enough.
    """
    attributes = {row["category_no"]: row["category_key"] for row in _rows(folder, "category")}
    items = {
        row["category_item_no"]: (attributes[row["category_no"]], row["category_item_key"])
        for row in _rows(folder, "category_item")
    }
    splits = DiskMap()
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            splits.add(row["id"], row["split"])
    beside = {table: _Beside(_rows(folder, table)) for table in BY_IMAGE[1:]}
    for image in _rows(folder, "image_table"):
        number = image["image_no"]
        rows = {table: reader.of(number) for table, reader in beside.items()}
        labels = {
            "id": int(number),
            "split": splits.get(number),
            "styles": [items[row["category_item_no"]][1] for row in rows["label"] if not row["region_no"]],
            "regions": _regions(rows, items, taxonomy),
        }
        yield Found(f"image_table.csv: image {number}", labels, (folder / image["img_path"]).read_bytes)


class _Beside:
    """Rows of a table that is sorted as the images are, handed out image by image."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, number: str) -> list[Row]:
        """The rows of that image; they come next, if there are any."""
        found = []
        while self._next is not None and self._next["image_no"] == number:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _regions(
    rows: Mapping[str, list[Row]], items: Mapping[str, tuple[str, str]], taxonomy: Taxonomy
) -> list[dict[str, Any]]:
    parts = {str(part.rect_no): part.key for part in taxonomy.parts}
    rings: dict[str, list[list[float]]] = {}
    for point in rows["image_location_polygon"]:
        rings.setdefault(point["no"], []).append([float(point["location_X"]), float(point["location_Y"])])
    regions: dict[str, dict[str, Any]] = {}
    for row in rows["image_location_rect"]:
        new: dict[str, Any] = {
            "id": row["region_no"],
            "part": parts[row["rect_no"]],
            "box": None,
            "rings": [],
            "attributes": {},
        }
        regions.setdefault(row["region_no"], new)["rings"].append(rings[row["polygon_no"]])
    for row in rows["label"]:
        if row["region_no"]:
            attribute, key = items[row["category_item_no"]]
            said = regions[row["region_no"]]["attributes"]
            found = taxonomy.attribute(attribute)
            if found is not None and found.multiple:
                said.setdefault(attribute, []).append(key)
            else:
                said[attribute] = key
    return list(regions.values())


def _rows(folder: Path, table: str) -> Iterator[Row]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _image_rows(record: ReleasedImage, taxonomy: Taxonomy, items: Items) -> Iterator[Row]:
    yield {"img_path": _path(record).as_posix(), **_times(record), "image_no": str(record.id)}


def _rect_rows(record: ReleasedImage, taxonomy: Taxonomy, items: Items) -> Iterator[Row]:
    numbers = {part.key: str(part.rect_no) for part in taxonomy.parts}
    polygon = count(1)
    for place, region in enumerate(record.regions, 1):
        for ring in region["rings"]:
            left, top, width, height = map(_text, rect(ring).values())
            yield {
                "rect_no": numbers[region["part"]],
                "location_X": left,
                "location_Y": top,
                "location_width": width,
                "location_height": height,
                "scale_X": "1",
                "scale_Y": "1",
                **_times(record),
                "image_no": str(record.id),
                "region_no": str(place),
                "polygon_no": str(next(polygon)),
            }


def _polygon_lines(record: ReleasedImage) -> Iterator[str]:
    """The polygons' rows as they are written: by far the most, and all of them numbers that need no quotes.

    They fit into their fields: points lie within the image, and its number was looked at in `image_table`.
    """
    polygon = count(1)
    times = ",".join(_times(record).values())
    for place, region in enumerate(record.regions, 1):
        ends = f"{times},{record.id},{place}\n"
        for ring in region["rings"]:
            number = next(polygon)
            for seq, (x, y) in enumerate(ring, 1):
                yield f"{number},{_text(x)},{_text(y)},{seq},{ends}"


def _label_rows(record: ReleasedImage, taxonomy: Taxonomy, items: Items) -> Iterator[Row]:
    said = [(STYLE, style, "") for style in record.styles]
    for place, region in enumerate(record.regions, 1):
        for attribute, value in record.attributes.get(region["id"], {}).items():
            said += [(attribute, key, str(place)) for key in (value if isinstance(value, list) else [value])]
    for attribute, key, region_no in said:
        if (attribute, key) in items:
            yield {
                "category_item_no": items[attribute, key],
                **_times(record),
                "image_no": str(record.id),
                "region_no": region_no,
            }


ROWS: Mapping[str, Callable[[ReleasedImage, Taxonomy, Items], Iterator[Row]]] = {
    "image_table": _image_rows,
    "image_location_rect": _rect_rows,
    "label": _label_rows,
}


def _vocabulary(taxonomy: Taxonomy, at: str) -> Mapping[str, list[Row]]:
    """The rows of the tables that follow from the taxonomy alone, made at `at`."""
    times = {"create_datetime": at, "update_datetime": at}
    categories, items = [], []
    for number, (key, ko, step, _) in enumerate(_categories(taxonomy), 1):
        row = {"category_name": ko, "category_step": str(step), **times, "category_no": str(number)}
        categories.append({**row, "category_key": key})
    numbers = {row["category_key"]: row["category_no"] for row in categories}
    names = {(key, value.key): value.ko for key, _, _, values in _categories(taxonomy) for value in values}
    for (key, value), item_no in _item_numbers(taxonomy).items():
        row = {"category_item_name": names[key, value], **times, "category_item_no": item_no}
        items.append({**row, "category_no": numbers[key], "category_item_key": value})
    return {"category": categories, "category_item": items}


def _categories(taxonomy: Taxonomy) -> Iterator[tuple[str, str, int, Sequence[Value | Style]]]:
    """Key, Korean name, labelling step and values of everything that is labelled."""
    for attribute in taxonomy.attributes:
        yield attribute.key, attribute.ko, ATTRIBUTES_STEP, attribute.values
    yield STYLE, "스타일", STYLES_STEP, taxonomy.styles


def _item_numbers(taxonomy: Taxonomy) -> Items:
    every = ((key, value.key) for key, _, _, values in _categories(taxonomy) for value in values)
    return {pair: str(number) for number, pair in enumerate(every, 1)}


def _fault(table: str, row: Row) -> str | None:
    return next((fault for field in TABLES[table] if (fault := field.fault(row[field.name]))), None)


def _path(record: ReleasedImage) -> PurePosixPath:
    return PurePosixPath("images", f"{record.id}.jpg")


def _times(record: ReleasedImage) -> Row:
    return {
        "create_datetime": _moment(record.created_at),
        "update_datetime": _moment(record.updated_at or record.created_at),
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _text(number: float) -> str:
    """A number with as many decimals as it needs, and the field has."""
    if isinstance(number, int):
        return str(number)
    return f"{number:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _csv(table: str, rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    names = [field.name for field in TABLES[table]]
    csv.writer(text, lineterminator="\n").writerows([row[name] for name in names] for row in rows)
    return text.getvalue().encode()


def _create(table: str) -> str:
    lines = [field.sql for field in TABLES[table]]
    lines += [f"PRIMARY KEY ({key})" for key in PRIMARY.get(table, ())]
    lines += [f"FOREIGN KEY ({key}) REFERENCES {other} ({key})" for key, other in FOREIGN.get(table, ())]
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {table} (\n  {body}\n);\n"
