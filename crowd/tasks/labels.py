"""Whether a labelling result can be true of its image: geometry, vocabulary, parts. PURE; stores nothing.

Results arrive as plain JSON. Each check returns them in normal form or raises InvalidResult with every
fault under its path; no input makes it raise anything else.
"""

import copy
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import shapely

from crowd.taxonomy import Attribute, Taxonomy

MAX_REGIONS = 32
MAX_RINGS = 64
MAX_POINTS_PER_RING = 2_000
MAX_POINTS = 10_000
BOX_TOLERANCE_PX = 1.0
# Below this (px²) a ring is a line that rounding has opened a little.
SMALLEST_AREA = 1e-6
MOST_FAULTS = 100

REGION_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")

Point: TypeAlias = tuple[float, float]
Ring: TypeAlias = list[Point]


class InvalidResult(Exception):
    """A result that cannot stand; `errors` maps paths such as `regions.0.rings.1.4` to sentences."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{path}: {text}" for path, texts in errors.items() for text in texts))


class _Faults:
    """What was found so far; full after MOST_FAULTS, so that garbage gets no answer larger than itself."""

    def __init__(self) -> None:
        self.errors: dict[str, list[str]] = {}
        self._count = 0

    def add(self, path: str, text: str) -> None:
        self._count += 1
        if self._count <= MOST_FAULTS:
            self.errors.setdefault(path, []).append(text)

    @property
    def count(self) -> int:
        return self._count

    def stop_if_any(self) -> None:
        if self.errors:
            raise InvalidResult(self.errors)


def check_segmentation(result: object, taxonomy: Taxonomy, width: int, height: int) -> dict[str, Any]:
    """Regions on an image of `width` x `height` px as `{"regions": [{"id", "part", "rings", "box"}]}`.

    Rings are lists of [x, y] without the closing point; `box` is [x, y, w, h], the bounds of the rings when
    the result gives none. Rings may not cross themselves; they may overlap each other. Raises InvalidResult.
    """
    faults = _Faults()
    regions = _listed(
        _fields(result, "", {"regions"}, faults),
        "regions",
        "regions",
        MAX_REGIONS,
        faults,
    )
    if _count_points(regions) > MAX_POINTS:
        faults.add("regions", f"must not have more than {MAX_POINTS} points in all")
    faults.stop_if_any()
    checked = [
        _region(region, f"regions.{index}", taxonomy, (width, height), faults)
        for index, region in enumerate(regions)
    ]
    _note_repeated_ids(checked, faults)
    faults.stop_if_any()
    return {"regions": checked}


def check_attributes(result: object, taxonomy: Taxonomy, regions: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of exactly the current `regions` (id -> part) as `{"regions": {id: {attribute: value}}}`.

    In normal form every attribute of the region's part is there, in the taxonomy's order: a value key or
    None, a list of value keys (repeats dropped) where several are allowed. Raises InvalidResult.
    """
    faults = _Faults()
    given = _fields(result, "", {"regions"}, faults).get("regions")
    if not isinstance(given, dict):
        faults.add(
            "regions",
            "must be an object of region ids" if given is not None else "is missing",
        )
        given = {}
    faults.stop_if_any()
    for name in given:
        if name not in regions:
            faults.add(
                f"regions.{_shown(name)}",
                "there is no such region in the current segmentation",
            )
    checked = {}
    for name, part in regions.items():
        if name in given:
            checked[name] = _region_attributes(given[name], f"regions.{name}", taxonomy, part, faults)
        else:
            faults.add(f"regions.{name}", "is missing: every region needs its attributes")
    faults.stop_if_any()
    return {"regions": checked}


def check_styles(result: object, taxonomy: Taxonomy) -> dict[str, Any]:
    """Styles of an image, main style first, as `{"styles": [...], "unsure": bool}`. Raises InvalidResult."""
    faults = _Faults()
    fields = _fields(result, "", {"styles", "unsure"}, faults)
    styles = _listed(fields, "styles", "styles", len(taxonomy.styles), faults)
    for index, style in enumerate(styles):
        if not isinstance(style, str) or not taxonomy.has_style(style):
            faults.add(f"styles.{index}", f"unknown style {_shown(style)}")
        elif not taxonomy.offers_style(style):
            faults.add(f"styles.{index}", f"{style} is retired: it is not chosen any more")
        elif style in styles[:index]:
            faults.add(f"styles.{index}", f"{style} is named twice")
    unsure = fields.get("unsure", False)
    if not isinstance(unsure, bool):
        faults.add("unsure", "must be true or false")
    faults.stop_if_any()
    return {"styles": styles, "unsure": unsure}


def check_unusable(result: object, taxonomy: Taxonomy) -> dict[str, Any]:
    """An image that cannot be labelled, as `{"unusable": code}`. Raises InvalidResult."""
    faults = _Faults()
    fields = _fields(result, "", {"unusable"}, faults)
    code = fields.get("unusable")
    if "unusable" not in fields:
        faults.add("unusable", "is missing")
    elif not isinstance(code, str) or not taxonomy.has_unusable(code):
        faults.add("unusable", f"unknown code {_shown(code)}")
    faults.stop_if_any()
    return {"unusable": code}


def region_parts(segmentation: Mapping[str, Any]) -> dict[str, str]:
    """Region id -> part of a checked segmentation, in its order."""
    return {region["id"]: region["part"] for region in segmentation["regions"]}


def carry_attributes(
    attributes: Mapping[str, Any] | None,
    old_regions: Mapping[str, str],
    new_regions: Mapping[str, str],
) -> dict[str, Any] | None:
    """What of checked `attributes` can serve as a starting point once the regions (id -> part) have changed.

    A region of the same id and part keeps its values; what is left over is paired by part, in order; the
    rest is dropped. None when nothing is left.
    """
    labelled = (attributes or {}).get("regions") or {}
    old = {name: part for name, part in old_regions.items() if name in labelled}
    sources = {name: name for name, part in new_regions.items() if old.get(name) == part}
    spare = [name for name in old if name not in sources]
    for name, part in new_regions.items():
        match = next((other for other in spare if old[other] == part), None)
        if name not in sources and match is not None:
            sources[name] = match
            spare.remove(match)
    carried = {name: copy.deepcopy(labelled[sources[name]]) for name in new_regions if name in sources}
    return {"regions": carried} if carried else None


def _region(
    region: object,
    path: str,
    taxonomy: Taxonomy,
    size: tuple[int, int],
    faults: _Faults,
) -> dict[str, Any]:
    fields = _fields(region, path, {"id", "part", "rings", "box"}, faults)
    name, part = fields.get("id"), fields.get("part")
    if not isinstance(name, str) or not REGION_ID.fullmatch(name):
        faults.add(f"{path}.id", "must be 1 to 32 letters, digits, - or _")
    if not isinstance(part, str) or not taxonomy.has_part(part):
        faults.add(f"{path}.part", f"unknown part {_shown(part)}")
    known = faults.count
    listed = _listed(fields, "rings", f"{path}.rings", MAX_RINGS, faults)
    rings = [_ring(ring, f"{path}.rings.{index}", size, faults) for index, ring in enumerate(listed)]
    box = fields.get("box")
    if box is not None:
        box = _box(box, f"{path}.box", size, faults)
    if faults.count > known:
        return {"id": name}
    bounds = shapely.MultiPoint([point for ring in rings for point in ring]).bounds
    if box is not None:
        _note_ring_outside_box(box, bounds, f"{path}.box", faults)
    return {
        "id": name,
        "part": part,
        "rings": [[list(point) for point in ring] for ring in rings],
        "box": box or [bounds[0], bounds[1], bounds[2] - bounds[0], bounds[3] - bounds[1]],
    }


def _ring(ring: object, path: str, size: tuple[int, int], faults: _Faults) -> Ring:
    if not isinstance(ring, list):
        faults.add(path, "must be a list of points")
        return []
    if len(ring) > MAX_POINTS_PER_RING:
        faults.add(path, f"must not have more than {MAX_POINTS_PER_RING} points")
        return []
    known = faults.count
    points = [
        point
        for index, pair in enumerate(ring)
        if (point := _point(pair, f"{path}.{index}", size, faults)) is not None
    ]
    while len(points) > 1 and points[0] == points[-1]:
        points.pop()
    if faults.count == known:
        fault = _fault_of_shape(points)
        if fault:
            faults.add(path, fault)
    return points


def _point(pair: object, path: str, size: tuple[int, int], faults: _Faults) -> Point | None:
    if not isinstance(pair, list) or len(pair) != 2 or not all(_is_number(number) for number in pair):
        faults.add(path, "must be two finite numbers [x, y]")
        return None
    x, y = pair
    if not (0 <= x <= size[0] and 0 <= y <= size[1]):
        faults.add(path, f"lies outside the image of {size[0]} x {size[1]} px")
        return None
    return x, y


def _fault_of_shape(points: Sequence[Point]) -> str | None:
    if len(set(points)) < 3:
        return "must have at least 3 different points"
    # The hull and not the polygon: a figure of eight has no net area either, yet crosses itself.
    if shapely.MultiPoint(points).convex_hull.area <= SMALLEST_AREA:
        return "encloses no area: its points lie on one line"
    polygon = shapely.Polygon(points)
    if not polygon.is_valid:
        return _where_it_crosses(shapely.is_valid_reason(polygon))
    if polygon.area <= SMALLEST_AREA:
        return "encloses no area"
    return None


def _where_it_crosses(reason: str) -> str:
    """GEOS names the spot at the end, as in `Self-intersection[12.5 40]`."""
    spot = re.search(r"\[(\S+) (\S+)\]", reason)
    if spot is None:
        return f"is no simple outline: {reason}"
    return f"crosses or touches itself near x {float(spot[1]):.1f}, y {float(spot[2]):.1f}"


def _box(box: object, path: str, size: tuple[int, int], faults: _Faults) -> list[float] | None:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(number) for number in box):
        faults.add(path, "must be four finite numbers [x, y, w, h]")
        return None
    x, y, w, h = box
    if w <= 0 or h <= 0:
        faults.add(path, "must be wider and higher than 0")
    elif not (_spans(x, w, size[0]) and _spans(y, h, size[1])):
        faults.add(path, f"reaches outside the image of {size[0]} x {size[1]} px")
    else:
        return list(box)
    return None


def _spans(start: float, length: float, limit: int) -> bool:
    # Compared one by one first: the sum of two huge whole numbers and a float would overflow. The slack
    # forgives what x + (limit - x) loses in binary.
    return 0 <= start <= limit and length <= limit and start + length <= limit + 1e-6


def _note_ring_outside_box(box: Sequence[float], bounds: Sequence[float], path: str, faults: _Faults) -> None:
    x, y, w, h = box
    beyond = max(x - bounds[0], y - bounds[1], bounds[2] - (x + w), bounds[3] - (y + h))
    if beyond > BOX_TOLERANCE_PX:
        faults.add(path, f"does not contain the rings: they reach {beyond:.1f} px beyond it")


def _note_repeated_ids(regions: Sequence[Mapping[str, Any]], faults: _Faults) -> None:
    names = [region["id"] for region in regions]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            faults.add(f"regions.{index}.id", f"{_shown(name)} is used twice")


def _count_points(regions: Sequence[object]) -> int:
    rings = [
        ring
        for region in regions
        if isinstance(region, dict) and isinstance(region.get("rings"), list)
        for ring in region["rings"]
    ]
    return sum(len(ring) for ring in rings if isinstance(ring, list))


def _region_attributes(
    given: object, path: str, taxonomy: Taxonomy, part: str, faults: _Faults
) -> dict[str, Any]:
    if not isinstance(given, dict):
        faults.add(path, "must be an object of attributes")
        return {}
    for name, value in given.items():
        attribute = taxonomy.attribute(name) if isinstance(name, str) else None
        if attribute is None:
            faults.add(f"{path}.{_shown(name)}", "unknown attribute")
        elif not attribute.applies_to(part) and value is not None and value != []:
            faults.add(
                f"{path}.{name}",
                f"{name} does not apply to {part}: leave it out or null",
            )
    return {
        attribute.key: _choice(given.get(attribute.key), f"{path}.{attribute.key}", attribute, part, faults)
        for attribute in taxonomy.attributes_for(part)
    }


def _choice(
    value: object, path: str, attribute: Attribute, part: str, faults: _Faults
) -> str | list[str] | None:
    if value is None:
        return [] if attribute.multiple else None
    if not attribute.multiple:
        if isinstance(value, list):
            faults.add(path, "takes one value, not a list")
            return None
        return _chosen(value, path, attribute, part, faults)
    if not isinstance(value, list):
        faults.add(path, "takes a list of values")
        return []
    chosen = [_chosen(item, f"{path}.{index}", attribute, part, faults) for index, item in enumerate(value)]
    return list(dict.fromkeys(key for key in chosen if key is not None))


def _chosen(value: object, path: str, attribute: Attribute, part: str, faults: _Faults) -> str | None:
    known = attribute.value(value) if isinstance(value, str) else None
    if known is None:
        faults.add(path, f"unknown {attribute.key} {_shown(value)}")
    elif part not in known.parts:
        faults.add(path, f"{known.key} does not apply to {part}")
    elif known.retired:
        faults.add(path, f"{known.key} is retired: it is not chosen any more")
    else:
        return known.key
    return None


def _fields(value: object, path: str, known: set[str], faults: _Faults) -> dict[str, Any]:
    if not isinstance(value, dict):
        faults.add(path or "result", "must be an object")
        return {}
    for name in value:
        if name not in known:
            faults.add(f"{path}.{_shown(name)}" if path else _shown(name), "unknown field")
    return value


def _listed(fields: Mapping[str, Any], name: str, path: str, most: int, faults: _Faults) -> list[Any]:
    """The list in a field, of 1 to `most` items; empty when mistaken."""
    value = fields.get(name)
    if not isinstance(value, list) or not value:
        faults.add(
            path,
            "must be a list with at least one entry" if name in fields else "is missing",
        )
    elif len(value) > most:
        faults.add(path, f"must not have more than {most} entries")
    else:
        return value
    return []


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    """Something of the sender's to repeat in a message or a path, cut short; other than text, its kind."""
    if isinstance(value, str):
        return value if len(value) <= 64 else value[:63] + "…"
    return {
        type(None): "null",
        bool: "true or false",
        list: "a list",
        dict: "an object",
    }.get(type(value), "a number")
