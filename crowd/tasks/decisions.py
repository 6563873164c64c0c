"""An admin's ways out: settling what is held, stuck, blocked or accepted; and an image's first task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound, field_error
from crowd.images import contracts
from crowd.images import queries as images
from crowd.images.history import Happening, record
from crowd.images.models import REAL_STATES, ImageState, What
from crowd.policy import Policy, Stage
from crowd.tasks import answer_queries, handover, image_queries, progress, seat_queries
from crowd.tasks.flow import LABELLING, ORDER, STAGES
from crowd.tasks.labels import region_parts

_EVENTS: dict[ImageState, What] = {
    ImageState.ACCEPTED: What.ACCEPTED,
    ImageState.REFUSED: What.REFUSED,
    ImageState.WITHDRAWN: What.WITHDRAWN,
}


# Called last with an image that an admin has settled, and its state from now on.
DECIDED_HOOKS: list[Callable[[Connection, int, ImageState, Policy, datetime], None]] = []


@dataclass(frozen=True, slots=True)
class Decision:
    """What an admin decides about an image; `stage` is where work begins again.

    `contract_id`: the contract that it comes under from now on; None leaves it under its own.
    """

    state: ImageState
    stage: Stage
    reason: str
    contract_id: int | None = None


def decide(
    conn: Connection,
    admin_id: int,
    image_id: int,
    decision: Decision,
    policy: Policy,
    now: datetime,
) -> None:
    """Settle an image; its open tasks close.

    Raises NotFound, Forbidden (the admin had a part in the image), Conflict (withdrawn; no
    working image; no right to use it; accepting what is simply in work) and Unprocessable (labels
    incomplete; a contract that does not hold).
    """
    image = image_queries.lock_image(conn, image_id)
    if image is None or image.state not in REAL_STATES:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    if answer_queries.has_part(conn, image_id, admin_id):
        raise Forbidden("had_a_part", "Whoever had a part in an image does not decide about it.")
    _guard(conn, image, decision, policy, now)
    why: dict[str, Any] = {"reason": decision.reason}
    if decision.contract_id is not None:
        why["contract"] = decision.contract_id
    if decision.state is ImageState.IN_WORK:
        reopen(conn, image, decision.stage, Reopening(admin_id, why), now)
    else:
        seat_queries.close_open(conn, image_id)
        record(conn, image_id, Happening(_EVENTS[decision.state], worker_id=admin_id, why=why), now)
    for hook in DECIDED_HOOKS:
        hook(conn, image_id, decision.state, policy, now)


@dataclass(frozen=True, slots=True)
class Reopening:
    """Who has an image worked on again and why; `about_id`: whose answer it is for, who does not get it."""

    actor_id: int | None
    why: dict[str, Any]
    about_id: int | None = None


def reopen(conn: Connection, image: AnyRow, stage: Stage, reopening: Reopening, now: datetime) -> None:
    """Work goes on at `stage` in a new round; the image's open tasks close.

    `image`: its row, which the caller has locked.
    """
    seat_queries.close_open(conn, image.id)
    happening = Happening(
        What.REOPENED,
        worker_id=reopening.actor_id,
        about_id=reopening.about_id,
        target=stage,
        why=reopening.why,
    )
    new_round = record(conn, image.id, happening, now)
    images.stop_waiting(conn, image.id)
    for _ in range(STAGES[stage].seats):
        seat_queries.open_task(conn, image, stage, new_round, now, excluded_id=reopening.about_id)


def is_ready_for(conn: Connection, image_id: int, stage: Stage) -> bool:
    """Whether the image has every label that work at `stage` builds on."""
    labels = handover.present_labels(answer_queries.label_rows(conn, image_id))
    return not _missing(labels, _before(stage))


def open_first(conn: Connection, image_id: int, now: datetime) -> None:
    """The image was accepted at intake and can be drawn on: segmentation opens."""
    image = image_queries.lock_image(conn, image_id)
    assert image is not None
    assert image.width is not None, "a task opens when the working image is there"
    seat_queries.open_task(conn, image, Stage.SEGMENTATION, image.round, now)


def end_rights(conn: Connection, image_id: int, what: What, reason: str, now: datetime) -> bool:
    """The contract that an image came under has ended: its open tasks close, and it leaves the work.

    Whether it does: what is refused, withdrawn, or held for another reason stays so. What is held from now on
    has in its history where it stood, for `renew_rights`.
    """
    image = image_queries.lock_image(conn, image_id)
    assert image is not None
    if image.state in (ImageState.REFUSED, ImageState.WITHDRAWN):
        return False
    if what is What.HELD and image.state is ImageState.HELD:
        return False
    why: dict[str, Any] = {"reason": reason}
    if image.state is ImageState.ACCEPTED:
        why["was"] = ImageState.ACCEPTED.value
    elif stage := seat_queries.open_stage(conn, image_id):
        why |= {"was": ImageState.IN_WORK.value, "stage": stage.value}
    seat_queries.close_open(conn, image_id)
    record(conn, image_id, Happening(what, why=why), now)
    return True


def renew_rights(
    conn: Connection,
    image_id: int,
    stood: Mapping[str, Any],
    actor_id: int | None,
    why: Mapping[str, Any],
    now: datetime,
) -> None:
    """An image whose contract had run out is under one that holds: it goes back to where it stood then.

    `stood`: what `end_rights` wrote down. The caller has locked the image.
    """
    if stood["was"] == ImageState.ACCEPTED:
        record(conn, image_id, Happening(What.ACCEPTED, worker_id=actor_id, why=dict(why)), now)
        return
    image = image_queries.lock_image(conn, image_id)
    assert image is not None
    stage = Stage(stood["stage"])
    if stage is Stage.ADJUDICATION:
        # It opens by itself only: what was disputed is given once more.
        stage = Stage.STYLES
    if not is_ready_for(conn, image_id, stage):
        stage = Stage.SEGMENTATION
    reopen(conn, image, stage, Reopening(actor_id, dict(why)), now)


def _guard(conn: Connection, image: AnyRow, decision: Decision, policy: Policy, now: datetime) -> None:
    if image.state is ImageState.WITHDRAWN:
        raise Conflict("withdrawn", "The image was withdrawn; that is final.")
    if decision.state in (ImageState.IN_WORK, ImageState.ACCEPTED) and image.width is None:
        raise Conflict("no_working_image", "There is no working image to work on.")
    if decision.state in (ImageState.IN_WORK, ImageState.ACCEPTED):
        contracts.settle(conn, image.id, decision.contract_id, policy, now)
    labels = handover.present_labels(answer_queries.label_rows(conn, image.id))
    if decision.state is ImageState.IN_WORK:
        if decision.stage is Stage.ADJUDICATION:
            raise field_error("stage", "adjudication opens by itself only")
        _require(labels, _before(decision.stage), "stage")
    if decision.state is ImageState.ACCEPTED:
        _require(labels, list(LABELLING), "state")
        if image.state is ImageState.IN_WORK and not progress.needs_admin(conn, image.id, policy):
            raise Conflict(
                "not_settleable",
                "The image is in work and nothing keeps it from going on.",
            )


def _before(stage: Stage) -> list[Stage]:
    return [each for each in LABELLING if ORDER[each] < ORDER[stage]]


def _require(labels: dict[Stage, Any], stages: list[Stage], path: str) -> None:
    missing = _missing(labels, stages)
    if missing:
        raise field_error(
            path,
            f"the labels are incomplete: {', '.join(missing)}",
            code="labels_incomplete",
        )


def _missing(labels: dict[Stage, Any], stages: list[Stage]) -> list[Stage]:
    missing = [stage for stage in stages if not labels.get(stage)]
    if Stage.ATTRIBUTES in stages and Stage.ATTRIBUTES not in missing:
        regions = region_parts(labels[Stage.SEGMENTATION])
        if set(labels[Stage.ATTRIBUTES]["regions"]) != set(regions):
            missing.append(Stage.ATTRIBUTES)
    return missing
