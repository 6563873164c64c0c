"""What people choose from: parts, attributes, values, styles, reasons. PURE; knows no image and no task."""

from crowd.taxonomy.load import KFASHION, load_taxonomy
from crowd.taxonomy.model import (
    Attribute,
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
    "Unusable",
    "Value",
    "load_taxonomy",
    "parse_taxonomy",
]
