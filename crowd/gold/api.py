"""The pool of gold over HTTP: for admins alone."""

from typing import Any

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.http import Blueprint, Page, page, paged
from crowd.gold import queries, service
from crowd.gold.planting import Wish
from crowd.gold.schemas import (
    GoldListArgs,
    GoldSchema,
    NewGoldItemsSchema,
    NewGoldSchema,
    VoidedGoldSchema,
    WholeGoldSchema,
)
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tasks.taxonomies import shelf
from crowd.tiers.schemas import ReasonSchema

blueprint = Blueprint("gold", __name__, description="Tasks with a known answer.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/gold", methods=["POST"])
@admins_only
@blueprint.arguments(NewGoldSchema)
@blueprint.response(201, NewGoldItemsSchema)
def add_gold(body: dict[str, Any]) -> dict[str, Any]:
    """Make gold of an accepted image, at one stage or several."""
    rt = runtime()
    wish = Wish(**body)
    present = shelf(rt).present()
    taxonomy = present.id, present.taxonomy
    with rt.db.begin() as conn:
        added = service.add(conn, wish, actor().id, rt.policy, taxonomy, clock.now())
        crews = service.crews(conn, rt.policy)
        return {"items": [service.health(service.find(conn, each), crews, rt.policy.gold) for each in added]}


@blueprint.route("/gold")
@admins_only
@blueprint.arguments(GoldListArgs, location="query")
@blueprint.response(200, paged(GoldSchema))
def list_gold(query: dict[str, Any]) -> Page:
    """The pool and its health, oldest first."""
    rt, limit = runtime(), query["limit"]
    with rt.db.read() as conn:
        rows = queries.items(
            conn,
            stage=query["stage"],
            active=query["active"],
            origin=query["origin"],
            after=query["cursor"] or 0,
            limit=limit + 1,
        )
        crews = service.crews(conn, rt.policy)
    return page([service.health(row, crews, rt.policy.gold) for row in rows], limit, lambda row: row["id"])


@blueprint.route("/gold/<int:gold_id>")
@admins_only
@blueprint.response(200, WholeGoldSchema)
def show_gold(gold_id: int) -> dict[str, Any]:
    """One item, and all that was done with it."""
    rt = runtime()
    with rt.db.read() as conn:
        item = service.find(conn, gold_id)
        crews = service.crews(conn, rt.policy)
        return {**service.health(item, crews, rt.policy.gold), "events": queries.events_of(conn, gold_id)}


@blueprint.route("/gold/<int:gold_id>/retire", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, GoldSchema)
def retire(body: dict[str, Any], gold_id: int) -> dict[str, Any]:
    """Take an item out of the pool; whoever has it before them may finish."""
    return _set_active(gold_id, False, body["reason"])


@blueprint.route("/gold/<int:gold_id>/reactivate", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, GoldSchema)
def reactivate(body: dict[str, Any], gold_id: int) -> dict[str, Any]:
    """Put an item back into the pool."""
    return _set_active(gold_id, True, body["reason"])


@blueprint.route("/gold/<int:gold_id>/void", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, VoidedGoldSchema)
def void(body: dict[str, Any], gold_id: int) -> dict[str, Any]:
    """An item was wrong: it leaves the pool, and the answers on it count for nobody's score any more."""
    rt = runtime()
    taken_out = service.void(rt.db, gold_id, actor().id, body["reason"], rt.policy, clock.now())
    with rt.db.read() as conn:
        item = service.health(service.find(conn, gold_id), service.crews(conn, rt.policy), rt.policy.gold)
    return {**item, "taken_out": taken_out}


def _set_active(gold_id: int, active: bool, reason: str) -> dict[str, Any]:
    rt = runtime()
    with rt.db.begin() as conn:
        service.set_active(conn, gold_id, active, actor().id, reason, clock.now())
        return service.health(service.find(conn, gold_id), service.crews(conn, rt.policy), rt.policy.gold)
