"""How many labels hold a code, looked up among the newest of them: nothing here reads a whole table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from crowd.policy import Stage
from crowd.tasks.editions import queries

LOOK = 5000

_STAGES = {"parts": Stage.SEGMENTATION, "attributes": Stage.ATTRIBUTES, "styles": Stage.STYLES}


@dataclass(frozen=True, slots=True)
class Held:
    """So many labels hold what stands at `path`; at least, unless `whole`: then there are no others."""

    path: str
    labels: int
    whole: bool


def held(conn: Connection, paths: Iterable[str]) -> list[Held]:
    """For each path of a part, attribute, value or style, how many labels hold it. Of others nothing."""
    asked = {path: _STAGES[path.split(".")[0]] for path in paths if path.split(".")[0] in _STAGES}
    if not asked:
        return []
    rows, whole = queries.newest_labels(conn, sorted(set(asked.values()), key=list(Stage).index), LOOK)
    counts = dict.fromkeys(asked, 0)
    for row in rows:
        words = _words(row.stage, row.value)
        for path, stage in asked.items():
            counts[path] += stage is row.stage and path in words
    return [Held(path, count, whole) for path, count in counts.items()]


def _words(stage: Stage, value: Mapping[str, Any]) -> set[str]:
    """The paths of all codes that a label holds."""
    match stage:
        case Stage.SEGMENTATION:
            return {f"parts.{region['part']}" for region in value.get("regions", ())}
        case Stage.ATTRIBUTES:
            return set(_answers(value.get("regions", {}).values()))
        case _:
            return {f"styles.{style}" for style in value.get("styles", ())}


def _answers(regions: Iterable[Mapping[str, str | Sequence[str] | None]]) -> Iterator[str]:
    for answers in regions:
        for name, given in answers.items():
            path = f"attributes.{name}"
            if given:
                yield path
            for key in [given] if isinstance(given, str) else given or ():
                yield f"{path}.values.{key}"
