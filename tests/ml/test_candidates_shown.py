"""Candidates beside claims: to whom, from whom, withheld from whom, and what answers took from them."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from crowd.core.errors import Unprocessable
from crowd.ml import uses
from crowd.ml.models import Taking
from crowd.ml.pending import Wanted
from crowd.ml.rules import is_withheld
from crowd.ml.service import roll_back
from crowd.ml.serving import Shelf, Waiter
from crowd.policy import Grade, PolicyError, Stage, load_policy
from crowd.runtime import Runtime
from crowd.tasks import handover, leases, shadows
from tests.ml import shelf
from tests.ml.shelf import add_card, claim, hear_at_once, make, promote, styles_card, submit, with_policy
from tests.tasks.engine import Engine

PROPOSED = {"styles": [{"value": "resort", "score": 0.9}, {"value": "country", "score": 0.1}]}


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    """Nothing is withheld."""
    return crew(with_policy(rt, withheld_percent=0))


def crew(rt: Runtime) -> Engine:
    made = Engine(rt)
    hear_at_once(rt)
    for grade in (Grade.GENERAL, Grade.SEMI_EXPERT, Grade.EXPERT, Grade.EXPERT, Grade.ADMIN):
        made.hire(grade)
    return made


@pytest.fixture
def model(engine: Engine, tmp_path: Path) -> int:
    """A model of styles that serves."""
    return serve(engine, tmp_path)


def serve(engine: Engine, folder: Path, seed: int = 0) -> int:
    model_id = add_card(engine.rt, folder, styles_card(), seed)
    promote(engine.rt, model_id)
    return model_id


def proposed(_wanted: Wanted) -> Any:
    return PROPOSED


def expert(engine: Engine, place: int = 0) -> int:
    return engine.crew[Grade.EXPERT][place]


def figures(engine: Engine) -> dict[str, Any]:
    with engine.db.read() as conn:
        (entry,) = uses.figures(conn)
    return entry


def test_a_claim_comes_with_what_the_serving_model_made(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert task["candidates"] == {"model": "small@1", **PROPOSED}
    (shown,) = shelf.showings(engine.rt)
    assert (shown.task_id, shown.token, shown.model_id, shown.withheld) == (
        task["id"],
        task["lease"]["token"],
        model,
        False,
    )


def test_a_claim_before_the_candidates_are_there_waits_for_nothing(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    assert claim(engine, expert(engine))["candidates"] is None
    assert shelf.showings(engine.rt) == []


def test_a_task_shows_the_same_whoever_claims_it(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    seen = []
    for place in range(2):
        person = expert(engine, place)
        task = claim(engine, person)
        seen.append(task["candidates"])
        with engine.db.begin() as conn:
            leases.release(
                conn,
                person,
                task["id"],
                leases.GivenBack(task["lease"]["token"]),
                engine.policy,
                engine.now,
            )
    assert seen[0] is not None
    assert seen[0] == seen[1]
    assert [each.token for each in shelf.showings(engine.rt)] == [1, 3]


def test_a_second_expert_sees_no_candidates(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    first = claim(engine, expert(engine))
    assert submit(engine, expert(engine), first, {"styles": ["resort"], "unsure": True}) is None
    make(engine, model, Stage.STYLES, proposed)
    second = claim(engine, expert(engine, 1))
    assert second["stage"] == "styles"
    assert second["candidates"] is None


def test_another_model_shows_nothing_of_the_one_before(engine: Engine, model: int, tmp_path: Path) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    newer = serve(engine, tmp_path, seed=1)
    assert engine_shows(engine) is None
    with engine.db.begin() as conn:
        roll_back(conn, newer, by=None, why="", now=engine.now)
    assert engine_shows(engine) == {"model": "small@1", **PROPOSED}
    with engine.db.begin() as conn:
        assert roll_back(conn, model, by=None, why="", now=engine.now) is None
    assert engine_shows(engine) is None


def engine_shows(engine: Engine) -> Any:
    """What a claim would show; nothing of it stays."""
    claimant = leases.Claimant(expert(engine), engine.taxonomy_id)
    with engine.db.engine.connect() as conn, conn.begin() as transaction:
        task = leases.claim(conn, claimant, engine.policy, engine.now)
        assert not isinstance(task, leases.QueueState)
        view = handover.task_view(conn, task)
        transaction.rollback()
    return view["candidates"]


def test_withheld_candidates_are_noted_and_not_shown(rt: Runtime, tmp_path: Path) -> None:
    engine = crew(with_policy(rt, withheld_percent=100))
    model = serve(engine, tmp_path)
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert task["candidates"] is None
    assert [each.withheld for each in shelf.showings(engine.rt)] == [True]
    assert submit(engine, expert(engine), task, {"styles": ["resort"]}, 30.0) is None
    (use,) = shelf.uses(engine.rt)
    assert (use.withheld, use.taking, use.kept) == (True, Taking.AS_IS, 1)
    entry = figures(engine)
    assert entry["withheld"]["answers"] == 1
    assert entry["shown"]["answers"] == 0


def test_the_share_that_is_withheld_is_the_policys_and_spread_evenly() -> None:
    policy = load_policy()
    assert policy.withheld_percent == 10
    chosen = [task_id for task_id in range(20_000) if is_withheld(task_id, policy)]
    assert 0.09 < len(chosen) / 20_000 < 0.11
    for remainder in range(4):
        assert 0.08 < sum(task_id % 4 == remainder for task_id in chosen) * 4 / 20_000 < 0.12


def test_a_share_above_the_whole_is_no_policy(tmp_path: Path) -> None:
    own = tmp_path / "policy.yaml"
    own.write_text("withheld_percent: 101\n")
    with pytest.raises(PolicyError, match="withheld_percent: must be a whole number of at most 100"):
        load_policy(own)


def test_an_answer_keeps_what_was_taken_at_which_rank(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert submit(engine, expert(engine), task, {"styles": ["country", "retro"]}, 12.5) is None
    (use,) = shelf.uses(engine.rt)
    assert (use.task_id, use.model_id, use.taking) == (task["id"], model, Taking.REPLACED)
    assert (use.proposed, use.kept, use.edit, use.seconds) == (1, 0, 3.0, 12.5)
    assert use.detail == {"country": 1, "retro": None}


def test_a_repeated_answer_counts_once(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    for _ in range(3):
        assert submit(engine, expert(engine), task, {"styles": ["resort"]}, 10.0) is None
    assert len(shelf.uses(engine.rt)) == 1
    assert figures(engine)["shown"]["answers"] == 1


def test_a_refused_answer_leaves_no_trace(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    with pytest.raises(Unprocessable):
        submit(engine, expert(engine), task, {"styles": ["no such style"]})
    assert shelf.uses(engine.rt) == []


def test_what_gives_no_labels_is_kept_and_not_added_up(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert submit(engine, expert(engine), task, {"unusable": "collage"}, 5.0) is None
    (use,) = shelf.uses(engine.rt)
    assert (use.taking, use.edit) == (Taking.NO_LABELS, None)
    assert figures(engine)["shown"]["answers"] == 0


def test_a_bounced_answer_counts_against_the_side_it_was_given_on(engine: Engine, model: int) -> None:
    engine.hire(Grade.REVIEWER)
    image_id = engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert submit(engine, expert(engine), task, {"styles": ["resort"]}, 10.0) is None
    reviewer = engine.crew[Grade.REVIEWER][0]
    for expected in (1.0, 1.0):
        review = claim(engine, reviewer, Stage.FIRST_REVIEW)
        verdict = {"score": 3, "blame": "styles", "reasons": ["wrong_entry"], "comment": ""}
        assert submit(engine, reviewer, review, verdict) is None
        assert figures(engine)["shown"]["bounced"] == expected, "the second time it was another answer"
        again = claim(engine, expert(engine))
        assert again["image"]["id"] == image_id
        assert submit(engine, expert(engine), again, {"styles": ["retro"]}) is None


def test_figures_tell_acceptance_edits_time_and_bias(rt: Runtime, tmp_path: Path) -> None:
    engine = crew(with_policy(rt, withheld_percent=50))
    model = serve(engine, tmp_path)
    told: dict[bool, list[tuple[str, float]]] = {True: [], False: []}
    for number in range(16):
        engine.image_at(Stage.STYLES)
        (task_id,) = make(engine, model, Stage.STYLES, proposed)
        withheld = is_withheld(task_id, engine.policy)
        style = "resort" if not withheld or number % 2 else "retro"
        seconds = (40.0 if withheld else 10.0) + number % 3
        task = claim(engine, expert(engine))
        assert submit(engine, expert(engine), task, {"styles": [style]}, seconds) is None
        told[withheld].append((style, seconds))
        engine.clear()
    assert all(told.values())
    before = figures(engine)
    assert uses.fold(engine.db) == 16
    assert uses.fold(engine.db) == 0
    after = figures(engine)
    assert before == after
    for side, withheld in (("shown", False), ("withheld", True)):
        styles = [style for style, _ in told[withheld]]
        seconds_told = [seconds for _, seconds in told[withheld]]
        assert after[side]["answers"] == len(styles)
        assert after[side]["accepted"] == pytest.approx(styles.count("resort") / len(styles))
        assert after[side]["edit"] == pytest.approx(2 * styles.count("retro") / len(styles))
        assert after[side]["seconds"] == pytest.approx(sum(seconds_told) / len(seconds_told))
    assert after["bias"] == pytest.approx(1 - after["withheld"]["agreement"])
    assert after["faster"] == pytest.approx(1 - after["shown"]["seconds"] / after["withheld"]["seconds"])
    assert (after["stage"], after["model"], after["serving"]) == (Stage.STYLES, "small@1", True)


def test_without_any_model_a_claim_runs_no_statement_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is asked once in a while, not at each claim."""
    # Those look now and then, too.
    monkeypatch.setattr(shadows, "FIRST_CALLS", [])
    waiter = Waiter(engine.policy, Shelf(remember=1000.0))
    handover.PROPOSERS[:] = [waiter.candidates]
    engine.image_at(Stage.STYLES)
    handover.PROPOSERS[:] = []
    plain = statements_of_a_claim(engine)
    handover.PROPOSERS[:] = [waiter.candidates]
    assert statements_of_a_claim(engine) == plain


def statements_of_a_claim(engine: Engine) -> list[str]:
    said: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    event.listen(engine.db.engine, "before_cursor_execute", note)
    try:
        engine_shows(engine)
    finally:
        event.remove(engine.db.engine, "before_cursor_execute", note)
    return said


def test_a_process_that_has_not_heard_yet_shows_nothing(engine: Engine, model: int) -> None:
    """Or another one that has not heard either would not look for what was shown."""
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    patient = Waiter(engine.policy, Shelf(remember=1000.0))
    handover.PROPOSERS[:] = [patient.candidates]
    assert claim(engine, expert(engine))["candidates"] is None
    assert shelf.showings(engine.rt) == []


def test_what_was_kept_of_candidates_cannot_be_changed(engine: Engine, model: int) -> None:
    engine.image_at(Stage.STYLES)
    make(engine, model, Stage.STYLES, proposed)
    task = claim(engine, expert(engine))
    assert submit(engine, expert(engine), task, {"styles": ["resort"]}) is None
    for table in ("models", "model_events", "candidates", "showings", "candidate_uses"):
        column = "why" if table == "model_events" else "model_id"
        column = "name" if table == "models" else column
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.db.begin() as conn:
                conn.exec_driver_sql(statement)
