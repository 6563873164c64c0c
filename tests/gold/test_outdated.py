"""Gold that is no longer right: retired when its image is accepted with other labels, voided by an admin."""

import pytest

from tests.gold.conftest import GoldCrew
from tests.gold.test_pool import pool
from tests.scenarios.people import Json, Person, good, refused, styles, verdict


def relabel(crew: GoldCrew, image_id: int, result: Json) -> None:
    """The image is reopened at the styles, gets these, and is accepted again."""
    crew.clock.forward(hours=1)
    good(crew.admin.decide(image_id, "in_work", stage="styles"))
    crew.stylist.do("styles", result)
    crew.bring("second_review", start="first_review")
    crew.step("second_review")
    assert crew.state(image_id) == "accepted"


def items(crew: GoldCrew) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for _, stage, active in pool(crew):
        found.setdefault(stage, []).append(active)
    return found


@pytest.fixture
def gold_percent() -> float:
    """None is hidden here, but where a test asks for it."""
    return 0.0


def test_other_labels_retire_what_was_known_of_the_old_ones(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "segmentation", "attributes", "styles", "first_review", "second_review")
    relabel(crew, source, styles("street"))
    assert items(crew) == {
        "segmentation": [True],
        "attributes": [True],
        "styles": [False],
        "first_review": [False],
        "second_review": [False],
    }
    (gone,) = crew.admin.read("/gold?stage=styles")["items"]
    told = crew.admin.read(f"/gold/{gone['id']}")["events"][-1]
    assert (told["step"], told["by"], told["reason"]) == ("retired", None, "the image has other labels now")
    (new,) = crew.gold([source], "styles")
    assert new["answer"]["styles"] == ["street"]


def test_the_same_labels_again_leave_gold_as_it_is(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "styles", "first_review")
    relabel(crew, source, styles("resort"))
    assert items(crew) == {"styles": [True], "first_review": [True]}


def test_an_admin_s_acceptance_retires_too(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "styles")
    crew.clock.forward(hours=1)
    good(crew.admin.decide(source, "in_work", stage="styles"))
    crew.stylist.do("styles", styles("street"))
    good(crew.admin.decide(source, "refused"))
    assert items(crew) == {"styles": [True]}, "nothing is dealt of it; what it comes to is open"
    good(crew.admin.decide(source, "accepted"))
    assert items(crew) == {"styles": [False]}


def test_what_is_settled_anew_becomes_gold_anew_and_what_an_admin_took_out_does_not(crew: GoldCrew) -> None:
    image_id = crew.split_image()
    crew.judge.do("adjudication", verdict(5))
    assert all(active == [True] for active in items(crew).values())
    (outlines,) = crew.admin.read("/gold?stage=segmentation")["items"]
    good(crew.admin.post(f"/gold/{outlines['id']}/retire", {"reason": "too coarse"}))
    crew.clock.forward(hours=1)
    good(crew.admin.decide(image_id, "in_work", stage="styles"))
    crew.stylist.do("styles", styles("street"))
    crew.bring("second_review", start="first_review")
    crew.left.do("second_review", verdict(5))
    crew.right.do("second_review", verdict(2, "styles"))
    crew.judge.do("adjudication", verdict(5))
    assert items(crew) == {
        "segmentation": [False],
        "attributes": [True],
        "styles": [False, True],
        "first_review": [False, True],
        "second_review": [False, True],
    }
    relabel(crew, image_id, styles("resort"))
    assert not any(items(crew)["styles"]), "nobody has settled this one"


def on_gold(crew: GoldCrew, person: Person, result: Json) -> int:
    task = crew.until_gold(person, "styles")
    good(person.submit(task, result))
    number: int = task["id"]
    return number


def counting(crew: GoldCrew, person: Person) -> tuple[int, int]:
    stages = crew.admin.read(f"/workers/{person.id}/quality")["stages"]
    found = stages.get("styles", {"n": 0, "gold_n": 0})
    return found["n"], found["gold_n"]


@pytest.mark.parametrize("gold_percent", [50.0])
def test_an_item_that_was_wrong_is_voided_and_counts_for_nobody(crew: GoldCrew, gold_percent: float) -> None:
    first, second = crew.sources(2)
    (wrong,) = crew.gold([first], "styles", answer={"styles": ["street"], "unsure": False})
    for _ in range(12):
        crew.image_at("styles")
    people = [crew.hire("expert", "one"), crew.hire("expert", "two")]
    for person in people:
        on_gold(crew, person, styles("resort"))
    crew.gold([second], "styles")
    on_gold(crew, people[0], styles("resort"))
    assert [counting(crew, person) for person in people] == [(2, 2), (1, 1)]
    refused(people[0].post(f"/gold/{wrong['id']}/void", {"reason": "no"}), 403)
    refused(crew.admin.post("/gold/999999/void", {"reason": "no"}), 404)
    voided = good(crew.admin.post(f"/gold/{wrong['id']}/void", {"reason": "it is resort"}))
    assert (voided["active"], voided["taken_out"]) == (False, 2)
    assert [counting(crew, person) for person in people] == [(1, 1), (0, 0)]
    best = crew.admin.read(f"/workers/{people[0].id}/quality")["stages"]["styles"]["score"]
    assert best > 0.8
    again = good(crew.admin.post(f"/gold/{wrong['id']}/void", {"reason": "once more"}))
    assert again["taken_out"] == 0
    steps = [event["step"] for event in crew.admin.read(f"/gold/{wrong['id']}")["events"]]
    assert steps == ["added", "voided", "voided"]
    assert crew.admin.read(f"/workers/{people[1].id}/evidence")["items"][0]["why"] == (
        f"gold {wrong['id']}: it is resort"
    )


@pytest.mark.parametrize("gold_percent", [50.0])
@pytest.mark.parametrize("how", ["retired", "reopened"])
def test_who_still_holds_it_is_not_judged_by_it(crew: GoldCrew, gold_percent: float, how: str) -> None:
    (source,) = crew.sources(1)
    (item,) = crew.gold([source], "styles")
    for _ in range(8):
        crew.image_at("styles")
    person = crew.hire("expert", "holder")
    task = crew.until_gold(person, "styles")
    if how == "retired":
        good(crew.admin.post(f"/gold/{item['id']}/retire", {"reason": "wrong"}))
    else:
        good(crew.admin.decide(source, "in_work", stage="styles"))
    good(person.submit(task, styles("street")))
    assert counting(crew, person) == (0, 0)
