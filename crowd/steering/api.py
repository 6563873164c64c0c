"""Figures over HTTP, for admins: as JSON, and each as CSV by `?format=csv` or `Accept: text/csv`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response, request
from sqlalchemy.engine import Connection

from crowd.accounts.auth import requires_grade
from crowd.core.http import Blueprint, page
from crowd.policy import Grade, Stage
from crowd.runtime import runtime
from crowd.steering import figures, telling
from crowd.steering.figures import Item, Wanted
from crowd.steering.schemas import (
    CSV,
    AgreementArgs,
    AgreementSchema,
    DayArgs,
    ErrorArgs,
    ErrorFiguresSchema,
    FigureArgs,
    FixArgs,
    FixFiguresSchema,
    GroupFiguresSchema,
    PagedFigureArgs,
    ReviewerFiguresSchema,
    StageFiguresSchema,
    StyleFiguresSchema,
    SupplierFiguresSchema,
    WeekFiguresSchema,
    WorkerFiguresSchema,
    listed,
)
from crowd.steering.tables import csv_text
from crowd.tasks import taxonomies

blueprint = Blueprint("figures", __name__, description="Figures for people who steer.")

admins_only = requires_grade(Grade.ADMIN)

CHUNK = 1000

Paged = Callable[[Connection, Wanted, Any, int], list[Item]]
Answer = dict[str, Any] | Response

CSV_NOTE = "With `?format=csv` or `Accept: text/csv` all rows as CSV; its cells are no formulas."


@blueprint.route("/stats/workers")
@admins_only
@blueprint.arguments(PagedFigureArgs, location="query")
@blueprint.response(200, listed(WorkerFiguresSchema, is_paged=True), description=CSV_NOTE)
def show_workers(query: dict[str, Any]) -> Answer:
    """What each person did."""
    return _pages(query, figures.workers, WorkerFiguresSchema, "worker_id")


@blueprint.route("/stats/reviewers")
@admins_only
@blueprint.arguments(PagedFigureArgs, location="query")
@blueprint.response(200, listed(ReviewerFiguresSchema, is_paged=True), description=CSV_NOTE)
def show_reviewers(query: dict[str, Any]) -> Answer:
    """What each reviewer did, and how far they agree with the other seat."""
    return _pages(query, figures.reviewers, ReviewerFiguresSchema, "worker_id")


@blueprint.route("/stats/groups")
@admins_only
@blueprint.arguments(PagedFigureArgs, location="query")
@blueprint.response(200, listed(GroupFiguresSchema, is_paged=True), description=CSV_NOTE)
def show_groups(query: dict[str, Any]) -> Answer:
    """What the members of each group did while they were members."""
    return _pages(query, figures.groups, GroupFiguresSchema, "group_id")


@blueprint.route("/stats/suppliers")
@admins_only
@blueprint.arguments(PagedFigureArgs, location="query")
@blueprint.response(200, listed(SupplierFiguresSchema, is_paged=True), description=CSV_NOTE)
def show_suppliers(query: dict[str, Any]) -> Answer:
    """What became of each supplier's images, and how much of its target is reached."""
    read = partial(figures.suppliers, targets=runtime().policy.targets.suppliers)
    return _pages(query, read, SupplierFiguresSchema, "supplier_id")


@blueprint.route("/stats/stages")
@admins_only
@blueprint.arguments(FigureArgs, location="query")
@blueprint.response(200, listed(StageFiguresSchema), description=CSV_NOTE)
def show_stages(query: dict[str, Any]) -> Answer:
    """What was done at each stage."""
    return _whole(query, figures.stages, StageFiguresSchema)


@blueprint.route("/stats/weeks")
@admins_only
@blueprint.arguments(FigureArgs, location="query")
@blueprint.response(200, listed(WeekFiguresSchema), description=CSV_NOTE)
def show_weeks(query: dict[str, Any]) -> Answer:
    """What was done in each ISO week."""
    return _whole(query, figures.weeks, WeekFiguresSchema)


@blueprint.route("/stats/styles")
@admins_only
@blueprint.arguments(DayArgs, location="query")
@blueprint.response(200, listed(StyleFiguresSchema), description=CSV_NOTE)
def show_styles(query: dict[str, Any]) -> Answer:
    """What experts made of each style, and how many images of it there are to be."""
    rt = runtime()
    targets = rt.policy.targets.of_styles(taxonomies.shelf(rt).present().taxonomy.style_shares)
    return _whole(query, partial(figures.styles, targets=targets), StyleFiguresSchema)


@blueprint.route("/stats/errors")
@admins_only
@blueprint.arguments(ErrorArgs, location="query")
@blueprint.response(200, listed(ErrorFiguresSchema), description=CSV_NOTE)
def show_errors(query: dict[str, Any]) -> Answer:
    """Why answers were bounced, the most frequent reasons first."""
    return _whole(query, figures.errors, ErrorFiguresSchema)


@blueprint.route("/stats/agreement")
@admins_only
@blueprint.arguments(AgreementArgs, location="query")
@blueprint.response(200, listed(AgreementSchema), description=CSV_NOTE)
def show_agreement(query: dict[str, Any]) -> Answer:
    """How far people agree: κ, AC1, α, IoU; in whole weeks."""
    return _whole(query, figures.agreements, AgreementSchema)


@blueprint.route("/stats/fixes")
@admins_only
@blueprint.arguments(FixArgs, location="query")
@blueprint.response(200, listed(FixFiguresSchema, is_paged=True), description=CSV_NOTE)
def show_fixes(query: dict[str, Any]) -> Answer:
    """Who corrected whose answers."""
    return _pages(query, figures.fixes, FixFiguresSchema, "fixer_id", "author_id", "stage")


def wants_csv(query: Mapping[str, Any]) -> bool:
    """Whether the caller asked for a table rather than for JSON."""
    if query["format"] is not None:
        return bool(query["format"] == CSV)
    best = request.accept_mimetypes.best_match(["application/json", "text/csv"], default="application/json")
    return best == f"text/{CSV}"


def as_csv(schema: type[ma.Schema], items: Sequence[Mapping[str, Any]], name: str) -> Response:
    """The items as a file of that name, with the schema's fields as columns."""
    ready = schema()
    text = csv_text(list(ready.dump_fields), [ready.dump(item) for item in items])
    # With the mark that tells spreadsheets that it is UTF-8.
    response = Response("\ufeff" + text, mimetype=f"text/{CSV}")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _wanted(query: Mapping[str, Any]) -> Wanted:
    return Wanted(
        since=query["since"],
        until=query["until"],
        stage=query.get("stage"),
        worker_id=query.get("worker"),
        group_id=query.get("group"),
        supplier_id=query.get("supplier"),
        style=query.get("style"),
        by=query.get("by"),
    )


def _whole(
    query: Mapping[str, Any], read: Callable[[Connection, Wanted], list[Item]], schema: type[ma.Schema]
) -> Answer:
    with runtime().db.read() as conn:
        items, waiting = read(conn, _wanted(query)), telling.waiting(conn)
    if wants_csv(query):
        return as_csv(schema, items, _name())
    return {"items": items, "waiting": waiting}


def _pages(query: Mapping[str, Any], read: Paged, schema: type[ma.Schema], *key: str) -> Answer:
    wanted, limit = _wanted(query), query["limit"]

    def place(item: Item) -> Any:
        parts = tuple(list(Stage).index(item[name]) if name == "stage" else item[name] for name in key)
        return parts if len(parts) > 1 else parts[0]

    if wants_csv(query):
        return as_csv(schema, _all(wanted, read, place), _name())
    with runtime().db.read() as conn:
        items, waiting = read(conn, wanted, query["cursor"], limit + 1), telling.waiting(conn)
    return {**page(items, limit, place), "waiting": waiting}


def _all(wanted: Wanted, read: Paged, place: Callable[[Item], Any]) -> list[Item]:
    """Every row, each page by a statement of its own: no long snapshot."""
    found: list[Item] = []
    after = None
    while True:
        with runtime().db.read() as conn:
            items = read(conn, wanted, after, CHUNK)
        found += items
        if len(items) < CHUNK:
            return found
        after = place(items[-1])


def _name() -> str:
    return request.path.rsplit("/", 1)[-1]
