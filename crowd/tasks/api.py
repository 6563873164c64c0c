"""Pulling and answering tasks over HTTP. Each view is one short transaction; nothing else commits."""

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from crowd.accounts.auth import Actor, actor, requires_login
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.errors import Problem, field_error
from crowd.core.http import Blueprint, Schema
from crowd.core.problems import of_database
from crowd.policy import Stage
from crowd.runtime import runtime
from crowd.tasks import answers, handover, lease_queries, leases
from crowd.tasks.answers import Given, Rulebook
from crowd.tasks.assignments import roster_of
from crowd.tasks.leases import Claimant, GivenBack, QueueState
from crowd.tasks.marks import book_of
from crowd.tasks.models import OPEN_SHADOWS, Kind
from crowd.tasks.schemas import (
    AnsweredSchema,
    BatchAnswerSchema,
    BatchClaimSchema,
    BatchSubmitSchema,
    ClaimSchema,
    GiveBackSchema,
    LeaseAnswerSchema,
    LeaseTokenSchema,
    OutcomesSchema,
    SendBackSchema,
    SubmitSchema,
    TaskSchema,
    TasksSchema,
)
from crowd.tasks.taxonomies import shelf
from crowd.tasks.wip import valve_of

blueprint = Blueprint("tasks", __name__, description="Claiming, keeping and answering tasks.")

# Seconds after which asking again is worth it.
RETRY_AFTER: dict[QueueState, int] = {
    QueueState.CAPPED: 5,
    QueueState.LEASED: 5,
    QueueState.PAUSED: 15,
    QueueState.EMPTY: 15,
}


@blueprint.route("/tasks/claim", methods=["POST"])
@requires_login
@blueprint.arguments(ClaimSchema)
@blueprint.response(200, TaskSchema)
@blueprint.alt_response(204, description="Nothing now: `Queue-State` says why, `Retry-After` when to ask.")
def claim(body: dict[str, Any]) -> Response:
    """The next task for the caller, leased to them."""
    rt = runtime()
    claimant = _claimant()
    now = clock.now()
    with rt.db.begin() as conn:
        book, roster = book_of(rt.db), roster_of(rt.db)
        task = leases.claim(
            conn,
            claimant,
            rt.policy,
            now,
            body["stage"],
            book=book,
            roster=roster,
            valve=valve_of(rt.db),
        )
        if not isinstance(task, QueueState):
            answer = jsonify(handover.task_view(conn, task))
            answer.headers.update(handover.purpose_header(task))
            return answer
    headers = {"Queue-State": task.value, "Retry-After": str(RETRY_AFTER[task])}
    return Response(status=204, headers=headers)


@blueprint.route("/tasks/claim-batch", methods=["POST"])
@requires_login
@blueprint.arguments(BatchClaimSchema)
@blueprint.response(200, TasksSchema)
def claim_batch(body: dict[str, Any]) -> Response:
    """Second reviews for a grid, never both seats of an image."""
    if body["stage"] is not Stage.SECOND_REVIEW:
        raise field_error("stage", f"only {Stage.SECOND_REVIEW} is done in a grid")
    rt = runtime()
    claimant = _claimant()
    with rt.db.begin() as conn:
        tasks = leases.claim_batch(
            conn,
            claimant,
            rt.policy,
            clock.now(),
            body["limit"],
            book=book_of(rt.db),
            roster=roster_of(rt.db),
            valve=valve_of(rt.db),
        )
        return jsonify({"tasks": [handover.task_view(conn, task) for task in tasks]})


@blueprint.route("/tasks/<int:task_id>/heartbeat", methods=["POST"])
@requires_login
@blueprint.arguments(LeaseTokenSchema)
@blueprint.response(200, LeaseAnswerSchema)
def heartbeat(body: dict[str, Any], task_id: int) -> Response:
    """Keep a lease, or win it back when it ran out and nobody else has the task."""
    rt = runtime()
    with rt.db.begin() as conn:
        until = leases.heartbeat(conn, actor().id, task_id, body["token"], rt.policy, clock.now())
    return jsonify({"lease": {"token": body["token"], "expires_at": rfc3339(until)}})


@blueprint.route("/tasks/<int:task_id>/release", methods=["POST"])
@requires_login
@blueprint.arguments(GiveBackSchema)
@blueprint.response(204)
def release(body: dict[str, Any], task_id: int) -> Response:
    """Give a task back; `skip` keeps it away from the caller for a while."""
    rt = runtime()
    with rt.db.begin() as conn:
        given_back = GivenBack(body["token"], body["reason"], body["skip"])
        leases.release(conn, actor().id, task_id, given_back, rt.policy, clock.now())
    return Response(status=204)


@blueprint.route("/tasks/<int:task_id>/submit", methods=["POST"])
@requires_login
@blueprint.arguments(SubmitSchema)
@blueprint.response(200, AnsweredSchema)
def submit(body: dict[str, Any], task_id: int) -> Response:
    """Answer a task; the same token again gets the same answer again."""
    _answer(task_id, _given(body, Kind.SUBMIT, body["result"], SubmitSchema))
    return jsonify({"task_id": task_id, "state": "done"})


@blueprint.route("/tasks/<int:task_id>/send-back", methods=["POST"])
@requires_login
@blueprint.arguments(SendBackSchema)
@blueprint.response(200, AnsweredSchema)
def send_back(body: dict[str, Any], task_id: int) -> Response:
    """The pre-check's "no": what came before is not good enough to build on."""
    sent = {name: body[name] for name in ("to", "reasons", "comment")}
    _answer(task_id, _given(body, Kind.SEND_BACK, sent, SendBackSchema))
    return jsonify({"task_id": task_id, "state": "done"})


@blueprint.route("/tasks/submit-batch", methods=["POST"])
@requires_login
@blueprint.arguments(BatchSubmitSchema)
@blueprint.response(200, OutcomesSchema)
def submit_batch(body: dict[str, Any]) -> Response:
    """Answer a grid; each answer is its own transaction and has its own outcome."""
    return jsonify({"outcomes": [_outcome(each) for each in body["answers"]]})


def leases_section(conn: Connection, me: Actor) -> list[dict[str, Any]]:
    """The part of GET /me in which a claim whose answer got lost is found.

    A lease of practice or of an exam says so. Of the other shadow seats nothing is told.
    """
    return [
        {
            "task_id": row.id,
            "stage": row.stage.value,
            "token": row.token,
            "expires_at": rfc3339(row.lease_until),
            **({"purpose": row.purpose.value} if row.purpose in OPEN_SHADOWS else {}),
        }
        for row in lease_queries.leases_of(conn, me.id, clock.now())
    ]


def _claimant() -> Claimant:
    return Claimant(actor().id, shelf(runtime()).present_id())


def _given(body: Mapping[str, Any], kind: Kind, result: object, schema: type[Schema]) -> Given:
    unknown = tuple(sorted(set(body) - set(schema._declared_fields)))
    return Given(body["token"], kind, result, body["seconds"], unknown)


def _answer(task_id: int, given: Given, *, in_grid: bool = False) -> None:
    rt = runtime()
    rulebook = Rulebook(rt.policy, shelf(rt))
    with rt.db.begin() as conn:
        if in_grid and answers.require_task(conn, task_id).stage is not Stage.SECOND_REVIEW:
            raise field_error("task_id", f"only {Stage.SECOND_REVIEW} is done in a grid", code="not_in_grid")
        refused = answers.answer(conn, actor().id, task_id, given, rulebook, clock.now())
    # Raised after the commit: what came too late is kept as evidence.
    if refused is not None:
        raise refused


def _outcome(answer: Mapping[str, Any]) -> dict[str, Any]:
    given = _given(answer, Kind.SUBMIT, answer["result"], BatchAnswerSchema)
    try:
        _answer(answer["task_id"], given, in_grid=True)
    except (Problem, SQLAlchemyError) as error:
        # What the database refuses of one answer must not hide what became of the others.
        problem = error if isinstance(error, Problem) else of_database(error)
        if problem is None:
            raise
        errors = {"errors": problem.errors} if problem.errors else {}
        return {"task_id": answer["task_id"], "status": problem.status, "code": problem.code, **errors}
    return {"task_id": answer["task_id"], "status": 200}
