"""What people choose from: parts, attributes, values, styles, reasons. PURE; knows no image and no task."""

from crowd.taxonomy.changes import Change, Turn, compare, lost
from crowd.taxonomy.load import KFASHION, load_taxonomy, read_taxonomy, write_taxonomy
from crowd.taxonomy.model import (
    Attribute,
    Definition,
    Faulted,
    Guidance,
    Match,
    Part,
    Reason,
    Released,
    Style,
    StyleGroup,
    Taxonomy,
    Unusable,
    Value,
)
from crowd.taxonomy.parse import TaxonomyError, parse_taxonomy

__all__ = [
    "KFASHION",
    "Attribute",
    "Change",
    "Definition",
    "Faulted",
    "Guidance",
    "Match",
    "Part",
    "Reason",
    "Released",
    "Style",
    "StyleGroup",
    "Taxonomy",
    "TaxonomyError",
    "Turn",
    "Unusable",
    "Value",
    "compare",
    "load_taxonomy",
    "lost",
    "parse_taxonomy",
    "read_taxonomy",
    "write_taxonomy",
]
