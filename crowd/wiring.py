"""Which rooms the web application has, and who listens to whom across the storeys."""

from functools import partial

from flask import Flask
from sqlalchemy.engine import Connection

from crowd import models
from crowd.accounts import api as accounts
from crowd.accounts import group_api as groups
from crowd.accounts import queries as people
from crowd.accounts.auth import AUDITORS_WRITE
from crowd.audits import api as audits
from crowd.audits import seats
from crowd.audits.blocked import service as blocked_audits
from crowd.core import clock
from crowd.core.http import Api
from crowd.datasets import access as data_access
from crowd.datasets import api as datasets
from crowd.datasets import queries as releases
from crowd.datasets import service as data_sets
from crowd.datasets.offered import api as offered_models
from crowd.datasets.services import api as offered_services
from crowd.drafts import api as drafts
from crowd.examples import api as examples
from crowd.gold import api as gold
from crowd.gold import course_api as courses_api
from crowd.gold import service as known
from crowd.gold.courses import Examiner
from crowd.gold.dealing import Dealer
from crowd.gold.refreshers import api as refreshers_api
from crowd.gold.refreshers import service as refreshers
from crowd.images import api as images
from crowd.images import batch_api, contracts, deliveries, intake_api, pictures
from crowd.images import service as intake
from crowd.ml import api as models_api
from crowd.ml import service as model_registry
from crowd.ml.schemas import EVERY_CANDIDATES
from crowd.ml.serving import Shelf, Waiter
from crowd.ml.uses import Observer
from crowd.ml.watch import api as watch
from crowd.policy import Policy, Stage
from crowd.review import api as review
from crowd.review import evidence, redo, redo_api
from crowd.review import watch as quality_watch
from crowd.review.appeals import api as appeals_api
from crowd.review.appeals import service as appeals
from crowd.review.policy import AdjudicationRules, FirstReviewRules, SecondReviewRules
from crowd.review.probation import service as probation
from crowd.review.rechecks.service import Listener, Usher
from crowd.runtime import Runtime
from crowd.steering import api as steering
from crowd.steering import notices_api, plans_api
from crowd.steering.behind import api as behind
from crowd.tasks import (
    answers,
    assignment_api,
    assignments,
    decisions,
    handover,
    image_api,
    leases,
    moves,
    progress,
    results,
    rules,
    shadows,
    taxonomies,
)
from crowd.tasks import api as tasks
from crowd.tasks import expert_api as experts
from crowd.tasks.editions import api as editions
from crowd.tasks.guidelines import api as guidelines
from crowd.tasks.models import Purpose
from crowd.tasks.retouching import api as retouching
from crowd.tiers import api as tiers
from crowd.tiers import flag_api as flags
from crowd.tiers import quality_api as quality
from crowd.tiers import service as standing
from crowd.web import pages

assert models  # importing it registers every table

# In the order in which the API's description shows them.
BLUEPRINTS = (
    accounts.blueprint,
    tasks.blueprint,
    drafts.blueprint,
    review.blueprint,
    image_api.blueprint,
    editions.blueprint,
    experts.blueprint,
    images.blueprint,
    intake_api.blueprint,
    retouching.blueprint,
    guidelines.blueprint,
    examples.blueprint,
    datasets.blueprint,
    offered_models.blueprint,
    offered_services.blueprint,
    tiers.blueprint,
    flags.blueprint,
    redo_api.blueprint,
    quality.blueprint,
    models_api.blueprint,
    gold.blueprint,
    courses_api.blueprint,
    groups.blueprint,
    assignment_api.blueprint,
    steering.blueprint,
    plans_api.blueprint,
    notices_api.blueprint,
    behind.blueprint,
    batch_api.blueprint,
    watch.blueprint,
    audits.blueprint,
    appeals_api.blueprint,
    refreshers_api.blueprint,
)


def wire(rt: Runtime) -> None:
    """Hang the upper rooms' hooks into the lower ones; every process does it once, again changes nothing."""
    rules.register(Stage.FIRST_REVIEW, FirstReviewRules())
    rules.register(Stage.SECOND_REVIEW, SecondReviewRules())
    rules.register(Stage.ADJUDICATION, AdjudicationRules())
    accounts.ME_SECTIONS["leases"] = tasks.leases_section
    accounts.ME_SECTIONS["notices"] = notices_api.notices_section
    accounts.ME_SECTIONS["refreshers"] = refreshers.refreshers_section
    intake.READY_HOOKS[:] = [decisions.open_first]
    contracts.ENDED_HOOKS[:] = [decisions.end_rights]
    contracts.TYING_HOOKS[:] = [data_sets.note_renewal]
    deliveries.RENEWED_HOOKS[:] = [decisions.renew_rights]
    accounts.ME_SECTIONS["supplier"] = intake_api.supplier_section
    standing.STANDING_HOOKS[:] = [partial(_take_work_back, rt.policy)]
    shelf = Shelf()
    observer = Observer(shelf)
    handover.PROPOSERS[:] = [Waiter(rt.policy, shelf).candidates]
    answers.ANSWERED_HOOKS[:] = [observer.answered]
    moves.BOUNCED_HOOKS[:] = [observer.bounced]
    redo.RELEASED[:] = [releases.released_among]
    pictures.TAKEN_HOOKS[:] = [data_sets.note_picture]
    model_registry.ADDED_HOOKS[:] = [data_access.note_trained]
    becomes_gold = partial(known.from_accepted, rt.policy, taxonomies.shelf(rt))
    answers.MOVED_HOOKS[:] = [becomes_gold, evidence.note_move]
    decisions.DECIDED_HOOKS[:] = [known.note_decision, evidence.note_decision]
    _wire_gold(rt, shelf)
    _wire_audits(rt)
    _wire_rechecks(rt)


def _wire_gold(rt: Runtime, shelf: Shelf) -> None:
    dealer, witness = Dealer(rt.policy, shelf), known.Witness(rt.policy)
    handover.PROPOSERS.insert(0, dealer.candidates)
    shadows.STAND_INS[:] = [dealer.stand_in]
    examiner = Examiner(rt.policy)
    shadows.WITNESSES[Purpose.GOLD] = witness.take
    shadows.WITNESSES[Purpose.PRACTICE] = examiner.practised
    shadows.WITNESSES[Purpose.EXAM] = examiner.answered


def _wire_audits(rt: Runtime) -> None:
    AUDITORS_WRITE.add("audits.sign_audit")
    shadows.FIRST_CALLS[:] = [seats.Usher(rt.policy).seat]
    shadows.WITNESSES[Purpose.AUDIT] = seats.hear
    progress.BLOCKED_ABOVE[:] = [blocked_audits.troubles]


def _wire_rechecks(rt: Runtime) -> None:
    shadows.ERRANDS[:] = [Usher(rt.policy).seat]
    shadows.WITNESSES[Purpose.APPEAL] = Listener(rt.policy, appeals.heard).take
    shadows.WITNESSES[Purpose.OVERLAP] = Listener(rt.policy, probation.compared).take
    quality_watch.OVERLAP_SOURCES[:] = [partial(probation.overlaps, rt.policy)]


def register_rooms(api: Api) -> None:
    """Register every room's part of the API."""
    for schema in (*results.EVERY_RESULT, *EVERY_CANDIDATES):
        name = type(schema).__name__.removesuffix("Schema")
        api.name_schema(name, schema)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)


def register_pages(app: Flask) -> None:
    """Register the pages for people."""
    app.register_blueprint(pages.blueprint)


def _take_work_back(policy: Policy, conn: Connection, worker_id: int) -> None:
    """Somebody was regraded, suspended or erased: nothing waits for them that they may not do."""
    person = people.person(conn, worker_id)
    barred = person is None or person.suspended or person.erased
    kept = () if person is None or barred else policy.stages_for(person.grade)
    # Assignments first: what the leases below let go then goes to everybody.
    assignments.end_standing(conn, worker_id, kept, clock.now())
    leases.end_standing(conn, worker_id, kept, leases=barred)
