"""Who drifts is offered practice where it shows, once, and it ends when it is done."""

from typing import Any

import pytest

from crowd.gold.refreshers import service
from crowd.gold.refreshers.rules import Judged, drift
from crowd.policy import Stage, load_policy
from crowd.tiers.evidence import Evidence, Kind, record
from tests.gold.conftest import GoldCrew
from tests.scenarios.people import Person, good, refused, regions

POLICY = load_policy()
RECENT = POLICY.refreshers.recent


@pytest.fixture
def gold_percent() -> float:
    """None is hidden here."""
    return 0.0


def judged(crew: GoldCrew, person: Person, *values: float, kind: Kind = Kind.AGREEMENT) -> None:
    """Answers at the segmentation that were found so good."""
    found = [
        Evidence(
            worker_id=person.id,
            stage=Stage.SEGMENTATION,
            kind=kind,
            value=value,
            weight=1.0,
            task_id=place,
            at=crew.clock.now(),
        )
        for place, value in enumerate(values)
    ]
    with crew.rt.db.begin() as conn:
        record(conn, crew.rt.policy, found)


def looks(crew: GoldCrew) -> int:
    return service.look(crew.rt.db, crew.rt.policy, crew.clock.now())


def offered(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.read("/me")["refreshers"]
    return found


def flagged(crew: GoldCrew, person: Person) -> list[str]:
    return [flag["code"] for flag in crew.admin.read(f"/tiers/flags?worker={person.id}")["items"]]


def practise(crew: GoldCrew, person: Person) -> None:
    response = person.post("/courses/segmentation/practice", {})
    assert response.status_code == 200, response.text
    good(person.submit(response.json["task"], regions("top")))


def test_who_falls_behind_their_own_measure_is_offered_practice_until_it_is_done(crew: GoldCrew) -> None:
    items = crew.rt.policy.refreshers.items
    sources = crew.sources(items)
    crew.gold(sources, "segmentation")
    steady, drifting = crew.hire("general", "steady"), crew.hire("general", "drifting")
    judged(crew, steady, *[1.0, 0.5] * RECENT)
    judged(crew, drifting, *[1.0] * RECENT, *[0.5] * RECENT)
    assert looks(crew) == 1
    assert looks(crew) == 0, "offered once"
    assert offered(steady) == []
    (mine,) = offered(drifting)
    assert (mine["stage"], mine["items"], mine["answered"]) == ("segmentation", items, 0)
    crew.clock.forward(minutes=1)
    for _ in range(items - 1):
        practise(crew, drifting)
    assert offered(drifting)[0]["answered"] == items - 1
    practise(crew, drifting)
    assert offered(drifting) == []
    (listed,) = crew.admin.read("/refreshers")["items"]
    assert listed["username"] == "drifting"
    assert listed["why"] == {"lately": 0.5, "usually": 1.0}
    assert listed["done_at"] is not None
    assert crew.admin.read(f"/refreshers?worker={steady.id}")["items"] == []
    refused(drifting.get("/refreshers"), 403)


def test_worked_examples_end_no_refresher(crew: GoldCrew) -> None:
    crew.gold(crew.sources(2), "segmentation")
    person = crew.hire("general", "drifting")
    judged(crew, person, *[0.0] * 6, kind=Kind.GOLD)
    assert looks(crew) == 1
    crew.clock.forward(minutes=1)
    shown = good(person.post("/courses/segmentation/practice", {"example": True}))
    good(person.submit(shown["task"], shown["known"]))
    assert offered(person)[0]["answered"] == 0
    practise(crew, person)
    assert offered(person)[0]["answered"] == 1


def test_what_was_judged_before_a_refresher_does_not_bring_the_next(crew: GoldCrew) -> None:
    items = crew.rt.policy.refreshers.items
    crew.gold(crew.sources(items), "segmentation")
    person = crew.hire("general", "drifting")
    judged(crew, person, *[0.0] * 6, kind=Kind.GOLD)
    assert looks(crew) == 1
    assert crew.admin.read("/refreshers")["items"][0]["why"] == {"gold": 0.0, "bar": 0.6}
    crew.clock.forward(minutes=1)
    for _ in range(items):
        practise(crew, person)
    crew.clock.forward(days=crew.rt.policy.refreshers.rest_days, minutes=1)
    judged(crew, person, 1.0)
    assert looks(crew) == 0
    assert flagged(crew, person) == [], "practice comes first"
    judged(crew, person, *[0.0] * 6, kind=Kind.GOLD)
    assert looks(crew) == 1
    assert flagged(crew, person) == ["drift"]


def test_nobody_is_offered_practice_where_they_do_not_work(crew: GoldCrew) -> None:
    trainee = crew.hire("trainee", "new")
    judged(crew, trainee, *[1.0] * RECENT, *[0.0] * RECENT)
    assert looks(crew) == 0


def test_weights_count_and_too_little_says_nothing() -> None:
    numbers, quality = POLICY.refreshers, POLICY.quality
    good_ones, bad = [Judged(1.0, 1.0)] * RECENT, [Judged(0.0, 0.01)] * (RECENT // 2)
    mixed = bad + [Judged(1.0, 1.0)] * (RECENT - len(bad))
    assert drift(mixed + good_ones, [], numbers, quality) is None
    heavy = [Judged(0.0, 1.0)] * (RECENT // 2) + good_ones[: RECENT - RECENT // 2]
    assert drift(heavy + good_ones, [], numbers, quality) == {"lately": 0.5, "usually": 1.0}
    assert drift(heavy + good_ones[:-1], [], numbers, quality) is None
    few = [0.0] * (quality.gold_least - 1)
    assert drift([], few, numbers, quality) is None
    assert drift([], [*few, 0.0], numbers, quality) is not None
