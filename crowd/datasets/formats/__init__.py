"""The file formats of a released data set, by name: which files hold which images, and what is in them."""

from collections.abc import Mapping
from importlib.util import find_spec

from crowd.core.errors import Unavailable, field_error
from crowd.datasets.formats.classifier import Classifier
from crowd.datasets.formats.coco import Coco
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import File, FileSet, Format, Guide, Unsayable, Whole
from crowd.datasets.formats.parquet import Parquet
from crowd.datasets.formats.released import KFashion
from crowd.datasets.formats.table import Table
from crowd.datasets.formats.webdataset import WebDataset
from crowd.taxonomy import Taxonomy

__all__ = [
    "FORMATS",
    "File",
    "FileSet",
    "Format",
    "Guide",
    "KFashion",
    "Unsayable",
    "Whole",
    "Written",
    "choose_format",
    "choose_layout",
]

_KNOWN: tuple[Format, ...] = (KFashion(), Coco(), Parquet(), WebDataset(), Table(), Classifier())
FORMATS: Mapping[str, Format] = {known.name: known for known in _KNOWN}


def choose_format(name: str) -> Format:
    """The format of that name. Raises a 422 about `format`, and 503 without its packages."""
    if name not in FORMATS:
        raise field_error("format", f"must be one of {', '.join(sorted(FORMATS))}, not {name[:40]!r}")
    chosen = FORMATS[name]
    missing = [module for module in chosen.needs if find_spec(module) is None]
    if missing:
        text = f"The format {name} needs {', '.join(missing)}: pip install 'crowd[export]'."
        raise Unavailable("not_installed", text)
    return chosen


def choose_layout(chosen: Format, layout: str | None, taxonomy: Taxonomy) -> str:
    """That layout, or the format's default. Raises a 422 about `layout`."""
    known = chosen.layouts(taxonomy)
    if layout is None:
        return known[0]
    if layout not in known:
        raise field_error("layout", f"{chosen.name} knows {', '.join(known)}, not {layout[:40]!r}")
    return layout
