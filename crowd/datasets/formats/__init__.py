"""The file formats of a released data set, by name: which files hold which images, and what is in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from crowd.core.errors import field_error
from crowd.datasets.check import CheckReport, check_export
from crowd.datasets.formats import kfashion
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.records import ReleasedImage
from crowd.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export: where, what is in it (an image stands for its working image), whose it is."""

    path: PurePosixPath
    content: bytes | ReleasedImage
    holds: tuple[int, ...]


class Format(Protocol):
    """What the writing of an export asks of a format."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def layouts(self) -> Sequence[str]:
        """The ways to lay out its folders, the default first."""
        ...

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """Why data under this taxonomy cannot be said in the format; None if it can."""
        ...

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """The files of one page of images (counted from 0), in the order in which they are to be written.

        The same page always gives the same files: after an interruption the page is written again.
        """
        ...

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """Each value of the image, and the word it is written as."""
        ...

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """An outside look at a finished export."""
        ...


class KFashion:
    """The released K-Fashion files: a JPEG and a JSON for each image, the JSON last."""

    name = "kfashion"
    layouts = tuple(layout.value for layout in kfashion.Layout)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        unknown = [part.key for part in taxonomy.parts if part.key not in kfashion.PARTS or not part.released]
        if not unknown:
            return None
        return f"K-Fashion files have no word for the parts {', '.join(unknown)} of {taxonomy.name}"

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        for record in records:
            image, text = kfashion.paths(record, kfashion.Layout(layout), taxonomy)
            yield File(image, record, (record.id,))
            yield File(text, kfashion.encode(kfashion.document(record, taxonomy)), (record.id,))

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        return kfashion.written_values(record, taxonomy)

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        return check_export(folder, styles={style.released for style in taxonomy.styles if style.released})


FORMATS: Mapping[str, Format] = {known.name: known for known in (KFashion(),)}


def choose_format(name: str) -> Format:
    """The format of that name. Raises a 422 about `format`."""
    if name not in FORMATS:
        raise field_error("format", f"must be one of {', '.join(sorted(FORMATS))}, not {name[:40]!r}")
    return FORMATS[name]


def choose_layout(chosen: Format, layout: str | None) -> str:
    """That layout, or the format's default. Raises a 422 about `layout`."""
    if layout is None:
        return chosen.layouts[0]
    if layout not in chosen.layouts:
        raise field_error("layout", f"{chosen.name} knows {', '.join(chosen.layouts)}, not {layout[:40]!r}")
    return layout
