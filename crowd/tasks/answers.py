"""Answers: submitting a result and sending a task back.

An answer is taken once. The same token again gets the first outcome again, whatever the body;
an answer that comes too late is kept as evidence and refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, Unprocessable
from crowd.images.models import What
from crowd.policy import Policy, Stage
from crowd.tasks import (
    answer_queries,
    experts,
    handover,
    image_queries,
    lease_queries,
    leases,
    moves,
    queries,
    shadows,
)
from crowd.tasks.flow import JOINT, LABELLING, Cause, Move, Outcome, move_for
from crowd.tasks.labels import InvalidResult
from crowd.tasks.models import Kind, Part, Purpose, Standing, TaskState
from crowd.tasks.rules import (
    RULES,
    Answer,
    Case,
    Judgement,
    check_send_back,
    says_unusable,
)
from crowd.tasks.taxonomies import TaxonomyShelf
from crowd.taxonomy import Taxonomy

# A day: more is a clock gone wrong.
MOST_SECONDS = 86_400

# Called with each answer that counts: task, token, labels (None: it was none of labels), seconds, moment.
ANSWERED_HOOKS: list[
    Callable[[Connection, AnyRow, int, Mapping[str, Any] | None, float | None, datetime], None]
] = []


# Called last, when an answer has moved its image; whatever they lock comes after the image and the task.
MOVED_HOOKS: list[Callable[[moves.Moving, Move, Judgement], None]] = []


@dataclass(frozen=True, slots=True)
class Given:
    """What a person sends: a result (or, sending back, `to`, `reasons`, `comment`) and the time spent."""

    token: int
    kind: Kind
    # Any JSON: a repeated answer gets the first outcome, whatever its body has become.
    result: object
    seconds: object = None
    unknown: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What answers are held against."""

    policy: Policy
    taxonomies: TaxonomyShelf


def answer(
    conn: Connection,
    worker_id: int,
    task_id: int,
    given: Given,
    rulebook: Rulebook,
    now: datetime,
) -> Conflict | None:
    """Take an answer: check it, record it, and move the image.

    Returns None when it stands (now, or since the first time), or the Conflict to answer with
    after the commit: the late answer is kept as evidence. Raises NotFound, Forbidden (never
    theirs; suspended) and Unprocessable (a bad result; the lease is kept).
    """
    unlocked = leases.own_task(conn, worker_id, task_id, given.token)
    # Person before image before task, everywhere: two requests of one person cannot take both seats.
    person = queries.lock_worker(conn, worker_id)
    image = image_queries.lock_image(conn, unlocked.image_id)
    assert image is not None
    task = queries.lock_task(conn, task_id, given.token)
    if task.answered is not None:
        return _replayed(task.answered)
    if person.barred:
        raise leases.suspended()
    late = _too_late(conn, task, given.token, worker_id, rulebook.policy)
    if late is not None:
        _keep(conn, task, worker_id, given, late, given.result, now)
        return leases.superseded() if late is Standing.SUPERSEDED else leases.lease_lost()
    taxonomy = rulebook.taxonomies.version(conn, task.taxonomy_id)
    case = _case(conn, worker_id, task, image, rulebook.policy, taxonomy)
    result, judgement = _judge(worker_id, given, case)
    _settle(conn, task, worker_id, given, result, now)
    moving = moves.Moving(conn, image, task, worker_id, task.taxonomy_id, rulebook.policy, now)
    _note_answer(moving, given.kind, result, judgement)
    move = move_for(task.stage, task.cause, judgement.outcome)
    if task.purpose is Purpose.WORK:
        moves.apply(moving, move, judgement)
        for hook in MOVED_HOOKS:
            hook(moving, move, judgement)
    else:
        moves.keep_label(moving, judgement)
        seconds = _known_seconds(given.seconds)
        said = shadows.Testimony(task, worker_id, given.kind, result, case.labels, seconds, now)
        shadows.testify(conn, said, move)
    return None


def _replayed(standing: Standing) -> Conflict | None:
    match standing:
        case Standing.COUNTED | Standing.EVIDENCE:
            return None
        case Standing.SUPERSEDED:
            return leases.superseded()
        case _:
            return leases.lease_lost()


def _too_late(conn: Connection, task: AnyRow, token: int, worker_id: int, policy: Policy) -> Standing | None:
    if task.state is TaskState.CLOSED and task.purpose is Purpose.WORK:
        return Standing.SUPERSEDED
    if task.state in (TaskState.DONE, TaskState.CLOSED) or task.token != token:
        return Standing.LEASE_LOST
    if task.state is not TaskState.LEASED and (
        lease_queries.took_again(conn, task, worker_id) or shadows.is_over(conn, task, worker_id, policy)
    ):
        return Standing.LEASE_LOST
    return None


def _case(
    conn: Connection,
    worker_id: int,
    task: AnyRow,
    image: AnyRow,
    policy: Policy,
    taxonomy: Taxonomy,
) -> Case:
    seats = _answers(conn, image.id, Stage.SECOND_REVIEW, task.round) if task.cause is Cause.SPLIT else ()
    peers = _answers(conn, image.id, task.stage, task.round) if task.stage in JOINT else ()
    # Only about a style that somebody was unsure of, and only where policy has votes weighed.
    weighs = task.stage is Stage.STYLES and peers and policy.experts.sure_percent
    voters = [*(peer.worker_id for peer in peers), worker_id] if weighs else []
    return Case(
        stage=task.stage,
        cause=task.cause,
        width=image.width,
        height=image.height,
        taxonomy=taxonomy,
        policy=policy,
        labels=handover.present_labels(answer_queries.label_rows(conn, image.id)),
        peers=peers,
        seats=seats,
        aims=experts.aims(conn, voters, policy) if voters else {},
    )


def _answers(conn: Connection, image_id: int, stage: Stage, image_round: int) -> tuple[Answer, ...]:
    rows = answer_queries.counted_answers(conn, image_id, stage, image_round)
    return tuple(
        Answer(row.worker_id, row.stage, row.result)
        for row in rows
        if row.kind is Kind.SUBMIT and not says_unusable(row.result)
    )


def _judge(worker_id: int, given: Given, case: Case) -> tuple[dict[str, Any], Judgement]:
    rules = RULES[case.stage]
    sending_back = given.kind is Kind.SEND_BACK
    try:
        result = check_send_back(given.result, case) if sending_back else rules.check(given.result, case)
        errors = _seconds_errors(given.seconds) | {name: ["Unknown field."] for name in given.unknown}
    except InvalidResult as invalid:
        prefix = "" if sending_back else "result"
        errors = {".".join(filter(None, (prefix, path))): texts for path, texts in invalid.errors.items()}
    if errors:
        raise Unprocessable("invalid_result", "The answer does not hold.", errors=errors)
    answer = Answer(worker_id, case.stage, result)
    if sending_back:
        target = Stage(result["to"])
        return result, Judgement(Outcome.SENT_BACK, target=target, rejections=(answer,))
    return result, rules.judge(answer, case)


def _seconds_errors(seconds: object) -> dict[str, list[str]]:
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is None or (number and 0 <= seconds <= MOST_SECONDS):  # type: ignore[operator]  # a number
        return {}
    return {"seconds": [f"must be a number from 0 to {MOST_SECONDS}"]}


def _known_seconds(seconds: object) -> float | None:
    return float(seconds) if isinstance(seconds, int | float) and not _seconds_errors(seconds) else None


def _settle(
    conn: Connection,
    task: AnyRow,
    worker_id: int,
    given: Given,
    result: dict[str, Any],
    now: datetime,
) -> None:
    done = lease_queries.finish(conn, task.id, given.token, worker_id)
    assert done, "the task was locked and its token compared"
    if task.state is TaskState.STUCK:
        lease_queries.forget_misses(conn, task.id)
    if task.purpose is not Purpose.WORK:
        _keep(conn, task, worker_id, given, Standing.EVIDENCE, result, now)
        return
    _keep(conn, task, worker_id, given, Standing.COUNTED, result, now)
    is_labels = given.kind is Kind.SUBMIT and not says_unusable(result)
    for hook in ANSWERED_HOOKS:
        hook(conn, task, given.token, result if is_labels else None, _known_seconds(given.seconds), now)


def _keep(
    conn: Connection,
    task: AnyRow,
    worker_id: int,
    given: Given,
    standing: Standing,
    result: object,
    now: datetime,
) -> None:
    answer_queries.add_submission(
        conn,
        task,
        token=given.token,
        worker_id=worker_id,
        kind=given.kind,
        standing=standing,
        result=result,
        seconds=_known_seconds(given.seconds),
        at=now,
    )


def _note_answer(moving: moves.Moving, kind: Kind, result: Mapping[str, Any], judgement: Judgement) -> None:
    task = moving.task
    if kind is Kind.SEND_BACK:
        moving.note(
            What.SENT_BACK,
            target=judgement.target,
            why=dict(result),
        )
        return
    moving.note(What.SUBMITTED, why=_short(task.stage, result))
    if task.purpose is not Purpose.WORK:
        return
    part = _part(task)
    answer_queries.add_participation(moving.conn, moving.image.id, moving.worker_id, part, task.round)


def _short(stage: Stage, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of an answer that belongs into the history: a verdict or a refusal, not the labels."""
    if "unusable" in result or "score" in result:
        return dict(result)
    return None


def _part(task: AnyRow) -> Part:
    if task.stage in LABELLING or task.cause is Cause.STYLES:
        return Part.LABELLED
    return Part(task.stage.value)


def require_task(conn: Connection, task_id: int) -> AnyRow:
    """The task. Raises NotFound."""
    task = queries.task_row(conn, task_id)
    if task is None:
        raise NotFound("no_such_task", f"There is no task {task_id}.")
    return task
