"""Hard styles: an unsure expert brings in further ones, one at a time, until a majority settles it."""

from tests.scenarios.people import Crew, Json, Person, good, refused, styles, unusable, verdict


def vote(crew: Crew, *votes: Json) -> list[Person]:
    """A new expert for each vote."""
    experts = [crew.hire("expert") for _ in votes]
    for expert, each in zip(experts, votes, strict=True):
        expert.do("styles", each)
    return experts


def test_an_unsure_expert_brings_one_further_expert(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("resort", unsure=True))
    assert crew.open_stages(image) == [("styles", 1)]


def test_two_experts_do_not_settle_even_when_they_agree(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("resort", unsure=True), styles("resort"))
    assert crew.open_stages(image) == [("styles", 1)]


def test_two_of_three_settle_the_main_style(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("resort", unsure=True), styles("punk"), styles("resort"))
    assert crew.open_stages(image) == [("first_review", 1)]
    assert crew.shown(image)["labels"]["styles"]["styles"][0] == "resort"


def test_the_main_style_counts_not_being_named_somewhere(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("resort", "punk", unsure=True), styles("punk", "resort"), styles("modern", "resort"))
    assert crew.open_stages(image) == [("styles", 1)]


def test_half_of_four_is_no_strict_majority(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, *(styles(name, unsure=True) for name in ("resort", "punk", "modern", "resort")))
    assert crew.open_stages(image) == [("styles", 1)]


def test_three_of_five_settle_the_main_style(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, *(styles(name, unsure=True) for name in ("resort", "punk", "modern", "resort", "resort")))
    assert crew.open_stages(image) == [("first_review", 1)]
    assert crew.shown(image)["labels"]["styles"]["styles"][0] == "resort"


def test_five_who_cannot_agree_open_an_adjudication(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, *(styles(name, unsure=True) for name in ("resort", "punk", "modern", "resort", "punk")))
    assert crew.open_stages(image) == [("adjudication", 1)]
    task = crew.judge.claim()
    assert task["cause"] == "styles"
    refused(crew.judge.submit(task, verdict(5)), 422)
    refused(crew.judge.submit(task, {"styles": []}), 422)
    good(crew.judge.submit(task, {"styles": ["modern", "country"]}))
    assert crew.open_stages(image) == [("first_review", 1)]
    assert crew.shown(image)["labels"]["styles"]["styles"] == ["modern", "country"]


def test_each_further_seat_is_another_experts(crew: Crew) -> None:
    crew.image_at("styles")
    first = crew.hire("expert")
    first.do("styles", styles(unsure=True))
    assert first.ask().status_code == 204
    second = crew.hire("expert")
    second.do("styles", styles())
    assert second.ask().status_code == 204


def test_a_further_expert_does_not_see_the_votes_before_theirs(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("punk", unsure=True))
    expert = crew.hire("expert")
    task = expert.claim()
    assert "punk" not in str(task)
    assert "punk" not in str(expert.image(image))
    assert not task["labels"]["styles"]


def test_the_adjudicator_of_styles_gave_none_of_the_votes(crew: Crew) -> None:
    crew.image_at("styles")
    experts = vote(crew, *(styles(n, unsure=True) for n in ("resort", "punk", "modern", "resort", "punk")))
    assert [expert.ask().status_code for expert in experts] == [204] * 5
    assert crew.hire("expert").claim()["stage"] == "adjudication"


def test_a_bounce_to_styles_that_several_settled_is_reserved_for_nobody(crew: Crew) -> None:
    crew.image_at("styles")
    vote(crew, styles("resort", unsure=True), styles("punk"), styles("resort"))
    crew.checker.do("first_review", verdict(3, "styles"))
    assert crew.hire("expert").claim()["stage"] == "styles"


def test_a_further_expert_may_send_the_image_back(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles(unsure=True))
    crew.hire("expert").refuse("styles")
    assert crew.open_stages(image) == [("attributes", 2)]


def test_a_further_expert_may_find_the_image_unusable(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles(unsure=True), unusable())
    assert [stage for stage, _ in crew.open_stages(image)] == ["segmentation"]


def test_one_sure_expert_is_enough(crew: Crew) -> None:
    image = crew.image_at("styles")
    vote(crew, styles("punk", "resort"))
    assert crew.shown(image)["labels"]["styles"]["styles"] == ["punk", "resort"]
    assert crew.open_stages(image) == [("first_review", 1)]
