"""The figures of a release as one JSON document beside its specification sheet: counts, progress. PURE."""

import json
from typing import Any

from crowd.core.clock import rfc3339
from crowd.datasets.records import Header, Split
from crowd.datasets.tally import Tally
from crowd.taxonomy import Taxonomy


def render(header: Header, tally: Tally, taxonomy: Taxonomy) -> bytes:
    """The document: UTF-8, keys in a fixed order. `target` is null where none was set."""
    document = {
        "release": header.release,
        "revision": header.revision,
        "images": {"count": tally.images, "target": header.targets.images or None},
        "garments": tally.regions.total(),
        "splits": {split.value: tally.splits[split] for split in Split},
        "styles": _styles(header, tally, taxonomy),
        "suppliers": _suppliers(header),
        "parts": {part.key: tally.regions[part.key] for part in taxonomy.parts},
        "attributes": {
            attribute.key: {value.key: tally.values[attribute.key][value.key] for value in attribute.values}
            for attribute in taxonomy.attributes
        },
        "results": [
            {
                "model": result.model,
                "split": result.split.value,
                "figures": dict(result.figures),
                "at": rfc3339(result.at),
            }
            for result in header.results
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def style_targets(header: Header, taxonomy: Taxonomy) -> dict[str, int]:
    """How many images are to have each style as their main one: its share of all; those without one miss."""
    return header.targets.of_styles(taxonomy.style_shares)


def _styles(header: Header, tally: Tally, taxonomy: Taxonomy) -> dict[str, Any]:
    targets = style_targets(header, taxonomy)
    return {
        style.key: {
            "images": main_style_images(tally, style.key),
            "as_second": tally.second_styles[style.key],
            "target": targets.get(style.key),
        }
        for style in taxonomy.styles
    }


def main_style_images(tally: Tally, key: str) -> int:
    """How many images have the style as their main one."""
    return sum(tally.styles[key, split] for split in Split)


def _suppliers(header: Header) -> dict[str, Any]:
    targets = header.targets.suppliers
    return {
        name: {"images": header.suppliers.get(name, 0), "target": targets.get(name) or None}
        for name in sorted({*header.suppliers, *targets})
    }
