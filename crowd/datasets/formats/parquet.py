"""Parquet as Hugging Face `datasets` loads it: images, classes and nested regions in typed columns."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias

from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import Fetch, File, FileSet, Guide, Whole, values_unknown
from crowd.datasets.inspect import Found, inspect
from crowd.datasets.records import Header, ReleasedImage, Split, plain
from crowd.taxonomy import Taxonomy

EMBEDDED, REFERENCED = "embedded", "referenced"
# Readers that want a few images decode a whole group; and so many images are in memory at a time.
GROUP = 50
# Columns of a region beside its attributes.
OWN = ("id", "part", "box", "rings")

Feature: TypeAlias = Mapping[str, Any]
Coder: TypeAlias = Callable[[Any], Any]


class Parquet:
    """`data/<split>-NNNNNN.parquet`, the images in them or beside them."""

    name = "parquet"
    by_split = True
    needs: Sequence[str] = ("pyarrow",)

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        return (EMBEDDED, REFERENCED)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        taken = [attribute.key for attribute in taxonomy.attributes if attribute.key in OWN]
        return f"attributes called {', '.join(taken)} would hide columns of the format" if taken else None

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        split = records[0].split
        if layout == REFERENCED:
            for record in records:
                yield File(_image_path(record), record, (record.id,))
        path = PurePosixPath("data", f"{split}-{page:06}.parquet")
        yield File(path, _Shard(records, taxonomy, layout), tuple(record.id for record in records))

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        return iter(())

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        return values_unknown(record, taxonomy)

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        files = ", ".join(f'"{split}": "data/{split}-*.parquet"' for split in Split)
        notes = [
            "An attribute that was not said is null, one that takes several values an empty list.",
            "The same bytes come out again with the same version of pyarrow, which signs each file.",
        ]
        if header.layout == REFERENCED:
            notes.append("The images are files below `images/`; load the set from this folder.")
        return Guide(
            f'files = {{{files}}}\nsets = datasets.load_dataset("parquet", data_files=files)\n'
            'first = sets["train"][0]  # first["image"], first["styles"], first["regions"]',
            notes=tuple(notes),
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        shards = FileSet("shards", "data/*.parquet", "application/x-parquet")
        images = FileSet("images", "images/*/*.jpg", "image/jpeg")
        return (shards, images) if layout == REFERENCED else (shards,)

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        return inspect(folder, read(folder, taxonomy), taxonomy)


class _Shard:
    """A Parquet file of these images."""

    def __init__(self, records: Sequence[ReleasedImage], taxonomy: Taxonomy, layout: str) -> None:
        self._records = records
        self._features = features(taxonomy)
        self._coders = {name: _coder(feature) for name, feature in self._features.items()}
        self._embeds = layout == EMBEDDED

    def __call__(self, out: IO[bytes], fetch: Fetch) -> None:
        pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
        told = json.dumps({"info": {"features": self._features}}, ensure_ascii=False)
        schema = pa.schema(
            [(name, _arrow(pa, feature)) for name, feature in self._features.items()],
            metadata={"huggingface": told},
        )
        # JPEGs do not shrink any further; of what repeats, the labels, there is little beside them.
        with pq.ParquetWriter(
            out, schema, compression="NONE", use_dictionary=False, write_statistics=False
        ) as writer:
            for start in range(0, len(self._records), GROUP):
                rows = [self._row(record, fetch) for record in self._records[start : start + GROUP]]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))

    def _row(self, record: ReleasedImage, fetch: Fetch) -> dict[str, Any]:
        row = plain(record)
        row["image"] = (
            {"bytes": fetch(record), "path": f"{record.id}.jpg"}
            if self._embeds
            else {"bytes": None, "path": _image_path(record).as_posix()}
        )
        row["regions"] = [{**region, **region["attributes"]} for region in row["regions"]]
        return {name: code(row.get(name)) for name, code in self._coders.items()}


def features(taxonomy: Taxonomy) -> dict[str, Feature]:
    """The columns in the words of `datasets`: what `Features.from_dict` takes."""
    regions: dict[str, Feature] = {
        "id": _value("string"),
        "part": _classes([part.key for part in taxonomy.parts]),
        "box": _list(_value("float64")),
        "rings": _list(_list(_list(_value("float64")))),
    }
    for attribute in taxonomy.attributes:
        one = _classes([value.key for value in attribute.values])
        regions[attribute.key] = _list(one) if attribute.multiple else one
    return {
        "id": _value("int64"),
        "image": {"_type": "Image"},
        "file_name": _value("string"),
        "width": _value("int32"),
        "height": _value("int32"),
        "split": _classes([split.value for split in Split]),
        "created_at": _value("string"),
        "updated_at": _value("string"),
        "styles": _list(_classes([style.key for style in taxonomy.styles])),
        "regions": _list(regions),
    }


def read(folder: Path, taxonomy: Taxonomy) -> Iterator[Found]:
    """Every image of such an export, with its labels in the form of `plain`."""
    pq = import_module("pyarrow.parquet")
    known = features(taxonomy)
    for path in sorted((folder / "data").glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                said = {name: _decoded(feature, row[name]) for name, feature in known.items()}
                said["regions"] = [_region(region) for region in said["regions"]]
                yield Found(f"{path.name}: image {row['id']}", said, _image_of(folder, said.pop("image")))


def _image_of(folder: Path, image: Mapping[str, Any]) -> Callable[[], bytes]:
    if image["bytes"] is not None:
        return partial(bytes, image["bytes"])
    return Path(folder, image["path"]).read_bytes


def _region(region: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: region[name] for name in OWN},
        "attributes": {name: value for name, value in region.items() if name not in OWN},
    }


def _image_path(record: ReleasedImage) -> PurePosixPath:
    return PurePosixPath("images", record.split, f"{record.id}.jpg")


def _value(dtype: str) -> Feature:
    return {"dtype": dtype, "_type": "Value"}


def _classes(names: Sequence[str]) -> Feature:
    return {"names": list(names), "_type": "ClassLabel"}


def _list(feature: Feature) -> Feature:
    return {"feature": feature, "_type": "List"}


def _arrow(pa: Any, feature: Feature) -> Any:
    kind = feature.get("_type")
    if kind == "Value":
        return {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64()}[
            feature["dtype"]
        ]
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if kind == "List":
        return pa.list_(_arrow(pa, feature["feature"]))
    return pa.struct([(name, _arrow(pa, inner)) for name, inner in feature.items()])


def _coder(feature: Feature) -> Coder:
    """What makes of a value what the column holds: classes as numbers, what is no class of it left out."""
    kind = feature.get("_type")
    if kind in ("Value", "Image"):
        return lambda value: value
    if kind == "ClassLabel":
        places = {name: place for place, name in enumerate(feature["names"])}
        return places.get
    if kind == "List":
        inner = feature["feature"]
        if _is_plain(inner):
            return lambda value: value or []
        code = _coder(inner)
        return lambda value: [coded for each in value or [] if (coded := code(each)) is not None]
    coders = {name: _coder(each) for name, each in feature.items()}
    return lambda value: {name: code(value.get(name)) for name, code in coders.items()}


def _is_plain(feature: Feature) -> bool:
    """Whether it holds numbers and texts alone, however deep, which go into the column as they are."""
    return feature.get("_type") == "Value" or (
        feature.get("_type") == "List" and _is_plain(feature["feature"])
    )


def _decoded(feature: Feature, value: Any) -> Any:
    kind = feature.get("_type")
    if value is None or kind in ("Value", "Image"):
        return value
    if kind == "ClassLabel":
        return feature["names"][value]
    if kind == "List":
        return [_decoded(feature["feature"], each) for each in value]
    return {name: _decoded(inner, value[name]) for name, inner in feature.items()}
