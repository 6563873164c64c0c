"""Labels made wrong on purpose, for known-bad work: one clear fault each. PURE; takes a seed."""

import copy
import random
from collections.abc import Mapping
from typing import Any

from crowd.policy import Stage
from crowd.tasks.labels import region_parts
from crowd.taxonomy import Taxonomy

# What a reviewer sees at a glance, tried in this order.
_TELLING = ("category", "color", "length", "sleeve")


def spoil(
    labels: Mapping[Stage, Any], stage: Stage, taxonomy: Taxonomy, rng: random.Random
) -> dict[Stage, Any]:
    """`labels` with a fault at `stage` (attributes or styles). Raises ValueError where none can be made."""
    spoiled = copy.deepcopy(dict(labels))
    match stage:
        case Stage.STYLES:
            spoiled[stage] = {
                "styles": [_other_style(labels[stage]["styles"], taxonomy, rng)],
                "unsure": False,
            }
        case Stage.ATTRIBUTES:
            _spoil_attributes(spoiled, taxonomy, rng)
        case _:
            raise ValueError(f"no fault is made at {stage}")
    return spoiled


def _other_style(styles: list[str], taxonomy: Taxonomy, rng: random.Random) -> str:
    others = sorted(style.key for style in taxonomy.styles if style.key not in styles and not style.retired)
    if not others:
        raise ValueError("the taxonomy has no other style")
    return rng.choice(others)


def _spoil_attributes(labels: dict[Stage, Any], taxonomy: Taxonomy, rng: random.Random) -> None:
    parts = region_parts(labels[Stage.SEGMENTATION])
    for region, values in labels[Stage.ATTRIBUTES]["regions"].items():
        for name in _TELLING:
            others = sorted(_values(taxonomy, name, parts[region]) - {values.get(name)})
            if values.get(name) and not isinstance(values[name], list) and others:
                values[name] = rng.choice(others)
                return
    raise ValueError("no attribute is given that could be another")


def _values(taxonomy: Taxonomy, name: str, part: str) -> set[str]:
    attribute = next((each for each in taxonomy.attributes if each.key == name), None)
    return set() if attribute is None else {value.key for value in attribute.offered_for(part)}
