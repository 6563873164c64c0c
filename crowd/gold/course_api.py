"""Courses and exams over HTTP: for everybody who labels or wants to."""

from typing import Any

from flask import Response, jsonify

from crowd.accounts.auth import actor, own_or_admin, requires_active
from crowd.core import clock
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Page, page, paged
from crowd.gold import courses, service
from crowd.gold.courses import Student
from crowd.gold.schemas import (
    CourseSchema,
    CoursesSchema,
    ExamListArgs,
    ExamSchema,
    LessonSchema,
    NewExamSchema,
    PracticeSchema,
    PractiseSchema,
)
from crowd.policy import Stage
from crowd.runtime import runtime
from crowd.tasks import handover
from crowd.tasks.schemas import TaskSchema
from crowd.tasks.taxonomies import shelf
from crowd.tiers import exams

blueprint = Blueprint("courses", __name__, description="Learning a stage, and being examined at it.")


@blueprint.route("/courses")
@requires_active
@blueprint.response(200, CoursesSchema)
def list_courses() -> dict[str, Any]:
    """Every stage's course, and where the caller stands in it."""
    student, now = _student(), clock.now()
    with runtime().db.read() as conn:
        found = [courses.course(conn, student, stage, now) for stage in service.STAGES]
    return {"items": found}


@blueprint.route("/courses/<stage>")
@requires_active
@blueprint.response(200, CourseSchema)
def show_course(stage: str) -> dict[str, Any]:
    """One stage's course."""
    student = _student()
    with runtime().db.read() as conn:
        return courses.course(conn, student, _stage(stage), clock.now())


@blueprint.route("/courses/<stage>/practice", methods=["POST"])
@requires_active
@blueprint.arguments(PractiseSchema)
@blueprint.response(200, PracticeSchema)
def practise(body: dict[str, Any], stage: str) -> Response:
    """A practice task, answered like any other; what it teaches is read afterwards."""
    rt = runtime()
    student = _student()
    with rt.db.begin() as conn:
        task, gold_id = courses.practise(conn, student, _stage(stage), clock.now(), example=body["example"])
        known = service.find(conn, gold_id).answer if body["example"] else None
        return jsonify({"task": handover.task_view(conn, task), "known": known})


@blueprint.route("/courses/<stage>/practice/<int:task_id>")
@requires_active
@blueprint.response(200, LessonSchema)
def show_lesson(stage: str, task_id: int) -> dict[str, Any]:
    """What the caller's practice answer got right and wrong."""
    with runtime().db.read() as conn:
        return courses.lesson(conn, actor().id, _stage(stage), task_id)


@blueprint.route("/exams", methods=["POST"])
@requires_active
@blueprint.arguments(NewExamSchema)
@blueprint.response(201, ExamSchema)
def begin_exam(body: dict[str, Any]) -> dict[str, Any]:
    """Begin an exam; its questions are fetched one by one, and answered like any task."""
    student = _student()
    with runtime().db.begin() as conn:
        exam_id = courses.begin_exam(conn, student, body["stage"], clock.now())
        return courses.exam_view(conn, courses.own_exam(conn, exam_id, None))


@blueprint.route("/exams")
@requires_active
@blueprint.arguments(ExamListArgs, location="query")
@blueprint.response(200, paged(ExamSchema))
def list_exams(query: dict[str, Any]) -> Page:
    """The caller's exams, oldest first; somebody else's for admins."""
    worker_id, limit = query["worker"] or actor().id, query["limit"]
    own_or_admin(worker_id)
    with runtime().db.read() as conn:
        found = exams.exams_of(conn, worker_id, after=query["cursor"] or 0, limit=limit + 1)
        shown = [courses.exam_view(conn, each) for each in found]
    return page(shown, limit, lambda each: each["id"])


@blueprint.route("/exams/<int:exam_id>")
@requires_active
@blueprint.response(200, ExamSchema)
def show_exam(exam_id: int) -> dict[str, Any]:
    """One exam: one's own, any for admins."""
    me = actor()
    with runtime().db.read() as conn:
        return courses.exam_view(conn, courses.own_exam(conn, exam_id, None if me.sees_all else me.id))


@blueprint.route("/exams/<int:exam_id>/next", methods=["POST"])
@requires_active
@blueprint.response(200, TaskSchema)
@blueprint.alt_response(204, description="All questions are answered.")
def next_question(exam_id: int) -> Response:
    """The question that is open, or the next one."""
    student = _student()
    with runtime().db.begin() as conn:
        task = courses.next_question(conn, student, exam_id, clock.now())
        if task is not None:
            return jsonify(handover.task_view(conn, task))
    return Response(status=204)


def _student() -> Student:
    rt = runtime()
    return Student(actor().id, actor().grade, shelf(rt).present_id(), rt.policy)


def _stage(name: str) -> Stage:
    if name not in service.STAGES:
        raise NotFound("no_such_course", f"There is no course for {name!r}.")
    return Stage(name)
