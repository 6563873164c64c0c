"""What the writing of an export asks of a file format, and what it hands to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, TypeAlias

from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.records import PIECES, Header, ReleasedImage
from crowd.taxonomy import Taxonomy

# Gives the bytes of a record's working image.
Fetch: TypeAlias = Callable[[ReleasedImage], bytes]
# Writes a file that is too large to be held in memory.
Stream: TypeAlias = Callable[[IO[bytes], Fetch], None]
Vectors: TypeAlias = Mapping[str, Sequence[float]]


class Unsayable(ValueError):
    """The format has no room for something in an image's labels; the message names image and field."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export: where, what is in it (an image stands for its working image), whose it is."""

    path: PurePosixPath
    content: bytes | ReleasedImage | Stream
    holds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one kind in an export, for those who describe it: a glob, and their media type."""

    name: str
    glob: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Guide:
    """What the README says of a format: how to load it, and what it loses whatever the values are."""

    load: str
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """An export all of whose pages are there; `words` are vectors of words, if somebody gave them."""

    folder: Path
    header: Header
    taxonomy: Taxonomy
    words: Vectors = field(default_factory=dict)

    def pieces(self, pattern: str) -> list[Path]:
        """The pieces of that name, in the order in which they were written."""
        return sorted((self.folder / PIECES).glob(pattern))


class Format(Protocol):
    """A way to write a release. The same page always gives the same files: it may be written again."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def by_split(self) -> bool:
        """Whether a page holds images of one split only; pages are then counted within the split."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """Modules beyond the base installation that must be there."""
        ...

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """The ways to lay out its folders, the default first."""
        ...

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """Why data under this taxonomy cannot be said in the format; None if it can."""
        ...

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """The files of one page of images (counted from 0), in the order in which they are to be written."""
        ...

    def closing(self, whole: Whole) -> Iterator[File]:
        """The files that take all pages, put together of their pieces."""
        ...

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """Each value of the image that is written otherwise, and as what; others may be among them."""
        ...

    def guide(self, header: Header) -> Guide:
        """How to read what was written."""
        ...

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """The files it consists of."""
        ...

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """An outside look at a finished export."""
        ...


def piece(name: str, content: bytes) -> File:
    """A piece of a file that `closing` puts together."""
    return File(PurePosixPath(PIECES, name), content)


def every_value(record: ReleasedImage) -> Iterator[tuple[str, str | None, str]]:
    """Attribute, part and key of each value that somebody chose; styles have no part."""
    parts = {region["id"]: region["part"] for region in record.regions}
    for region_id, given in record.attributes.items():
        for attribute, value in given.items():
            for key in value if isinstance(value, list) else [value]:
                if key is not None and region_id in parts:
                    yield attribute, parts[region_id], key
    for style in record.styles:
        yield "style", None, style


def values_unknown(record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
    """Values that this version of the taxonomy does not name: they are left out."""
    for attribute, part, key in every_value(record):
        if attribute == "style":
            known = taxonomy.has_style(key)
        else:
            found = taxonomy.attribute(attribute)
            known = found is not None and found.value(key) is not None
        if not known:
            yield Written(attribute, part, key, None, "not in this version of the taxonomy")
