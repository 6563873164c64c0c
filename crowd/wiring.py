"""Which rooms the web application has, and who listens to whom across the storeys."""

from functools import partial

import flask_smorest
from flask import Flask
from sqlalchemy.engine import Connection

from crowd import models
from crowd.accounts import api as accounts
from crowd.accounts import queries as people
from crowd.datasets import api as datasets
from crowd.images import api as images
from crowd.images import contracts, intake_api
from crowd.images import service as intake
from crowd.ml import api as models_api
from crowd.ml.schemas import EVERY_CANDIDATES
from crowd.ml.serving import Shelf, Waiter
from crowd.ml.uses import Observer
from crowd.policy import Policy, Stage
from crowd.review import api as review
from crowd.review.policy import AdjudicationRules, FirstReviewRules, SecondReviewRules
from crowd.runtime import Runtime
from crowd.tasks import answers, decisions, handover, image_api, leases, moves, results, rules
from crowd.tasks import api as tasks
from crowd.tiers import api as tiers
from crowd.tiers import service as standing
from crowd.web import pages

assert models  # importing it registers every table

# In the order in which the API's description shows them.
BLUEPRINTS = (
    accounts.blueprint,
    tasks.blueprint,
    review.blueprint,
    image_api.blueprint,
    images.blueprint,
    intake_api.blueprint,
    datasets.blueprint,
    tiers.blueprint,
    models_api.blueprint,
)


def wire(rt: Runtime) -> None:
    """Hang the upper rooms' hooks into the lower ones; every process does it once, again changes nothing."""
    rules.register(Stage.FIRST_REVIEW, FirstReviewRules())
    rules.register(Stage.SECOND_REVIEW, SecondReviewRules())
    rules.register(Stage.ADJUDICATION, AdjudicationRules())
    accounts.ME_SECTIONS["leases"] = tasks.leases_section
    intake.READY_HOOKS[:] = [decisions.open_first]
    contracts.ENDED_HOOKS[:] = [decisions.end_rights]
    accounts.ME_SECTIONS["supplier"] = intake_api.supplier_section
    standing.STANDING_HOOKS[:] = [partial(_take_work_back, rt.policy)]
    shelf = Shelf()
    observer = Observer(shelf)
    handover.PROPOSERS[:] = [Waiter(rt.policy, shelf).candidates]
    answers.ANSWERED_HOOKS[:] = [observer.answered]
    moves.BOUNCED_HOOKS[:] = [observer.bounced]


def register_rooms(api: flask_smorest.Api) -> None:
    """Register every room's part of the API."""
    for schema in (*results.EVERY_RESULT, *EVERY_CANDIDATES):
        name = type(schema).__name__.removesuffix("Schema")
        api.spec.components.schema(name, schema=schema)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)


def register_pages(app: Flask) -> None:
    """Register the pages for people."""
    app.register_blueprint(pages.blueprint)


def _take_work_back(policy: Policy, conn: Connection, worker_id: int) -> None:
    """Somebody was regraded, suspended or erased: nothing waits for them that they may not do."""
    person = people.person(conn, worker_id)
    if person is None or person.suspended or person.erased:
        leases.end_standing(conn, worker_id, (), leases=True)
    else:
        leases.end_standing(conn, worker_id, policy.stages_for(person.grade), leases=False)
