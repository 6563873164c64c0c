"""Choosing example pictures and taking them away: of accepted images alone, a few of each value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.examples import queries
from crowd.examples.models import Step
from crowd.examples.queries import STYLES
from crowd.images import contracts
from crowd.images.models import REAL_STATES, ImageState
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import answer_queries, handover, image_queries
from crowd.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Choice:
    """An image as an example of a value, and what is said of it in both languages."""

    facet: str
    value: str
    image_id: int
    caption_en: str
    caption_ko: str
    reason: str


def choose(conn: Connection, rt: Runtime, choice: Choice, admin_id: int, now: datetime) -> int:
    """Show an accepted image as an example; the example's id.

    Raises a 422 about `facet` or `value`, NotFound, and Conflict `not_accepted`, the code of what
    is wrong with the rights, `gold`, `chosen` (it is one already), `full`, or `changed` (another was faster).
    """
    _require_known(rt.taxonomy, choice)
    image = image_queries.lock_image(conn, choice.image_id)
    if image is None or image.state not in REAL_STATES:
        raise NotFound("no_such_image", f"There is no image {choice.image_id}.")
    _require_usable(conn, rt, image, now)
    labels = handover.present_labels(answer_queries.label_rows(conn, image.id))
    if not is_labelled(labels, choice.facet, choice.value):
        raise field_error("value", f"image {image.id} is not labelled so")
    place = _free_place(conn, choice, rt.policy.examples.of_a_value)
    try:
        added = queries.add(
            conn,
            facet=choice.facet,
            value=choice.value,
            image_id=image.id,
            round=image.round,
            place=place,
            caption_en=choice.caption_en,
            caption_ko=choice.caption_ko,
        )
    except IntegrityError:
        raise Conflict("changed", "Somebody chose another one meanwhile; look again.") from None
    queries.add_event(conn, added, Step.ADDED, admin_id, choice.reason, now)
    return added


def take_away(conn: Connection, example_id: int, admin_id: int, reason: str, now: datetime) -> None:
    """An image is no example any more; again changes nothing. Raises NotFound."""
    find(conn, example_id, now)
    if queries.take_away(conn, example_id):
        queries.add_event(conn, example_id, Step.REMOVED, admin_id, reason, now)


def find(conn: Connection, example_id: int, now: datetime) -> AnyRow:
    """One example, taken away or not. Raises NotFound."""
    found = queries.chosen(conn, now.date(), example_id=example_id)
    if not found:
        raise no_such_example(example_id)
    return found[0]


def hidden_because(example: AnyRow) -> str | None:
    """Why nobody sees an example, as `queries.chosen` gives it; None: it is seen."""
    if not example.active:
        return "removed"
    if not example.stands:
        return "not_accepted"
    if not example.in_rights:
        return "rights_ended"
    return "gold" if example.is_gold else None


def is_labelled(labels: Mapping[Stage, Any], facet: str, value: str) -> bool:
    """Whether an image's labels name the value: among its styles, or at any of its garments."""
    if facet == STYLES:
        return value in (labels.get(Stage.STYLES) or {}).get("styles", ())
    garments = (labels.get(Stage.ATTRIBUTES) or {}).get("regions", {}).values()
    return any(_names(garment.get(facet), value) for garment in garments)


def no_such_example(example_id: int) -> NotFound:
    """What is said of an example that is none, or none for this person."""
    return NotFound("no_such_example", f"There is no example {example_id}.")


def _names(given: Any, value: str) -> bool:
    return value in given if isinstance(given, list) else bool(given == value)


def _require_known(taxonomy: Taxonomy, choice: Choice) -> None:
    if choice.facet == STYLES:
        if not taxonomy.has_style(choice.value):
            raise field_error("value", "is not a style")
        return
    attribute = taxonomy.attribute(choice.facet)
    if attribute is None:
        raise field_error("facet", f"is neither {STYLES} nor an attribute")
    if attribute.value(choice.value) is None:
        raise field_error("value", f"is not a value of {choice.facet}")


def _require_usable(conn: Connection, rt: Runtime, image: AnyRow, now: datetime) -> None:
    if image.state is not ImageState.ACCEPTED:
        raise Conflict("not_accepted", "Only an accepted image can be an example.")
    if fault := contracts.fault_of(conn, image.id, rt.policy, now.date()):
        raise Conflict(*fault)
    if queries.is_gold(conn, image.id):
        raise Conflict("gold", "The image is gold: an example would give its answer away.")


def _free_place(conn: Connection, choice: Choice, most: int) -> int:
    taken = queries.places_of(conn, choice.facet, choice.value)
    if choice.image_id in taken.values():
        raise Conflict("chosen", "The image is an example of this already.")
    free = next((place for place in range(most) if place not in taken), None)
    if free is None or len(taken) >= most:
        raise Conflict("full", f"There are {most} examples of this already: take one away first.")
    return free
