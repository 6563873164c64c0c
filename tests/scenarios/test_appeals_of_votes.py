"""Appeals of votes on hard styles: the styles are named anew by somebody who knows of no vote."""

import pytest

from crowd.review.appeals.rules import is_vote_upheld
from tests.scenarios.people import Crew, Json, Person, good, refused, styles, verdict
from tests.scenarios.test_appeals import appeal, appealed, figures, replays_the_same, stored, task_of
from tests.scenarios.test_unsure_styles import vote

DIVIDED = ("resort", "punk", "modern", "resort", "punk")


def accepted(crew: Crew, image_id: int) -> None:
    """The reviews of an image whose styles are settled."""
    crew.bring("second_review", start="first_review")
    crew.step("second_review")
    assert crew.state(image_id) == "accepted"


def outvoted(crew: Crew) -> tuple[int, Person]:
    """An accepted image, and the one of three experts whose vote on it lost."""
    image_id = crew.image_at("styles")
    _, loser, _ = vote(crew, styles("resort", unsure=True), styles("punk"), styles("resort"))
    accepted(crew, image_id)
    return image_id, loser


def divided(crew: Crew) -> tuple[int, list[Person]]:
    """An accepted image on whose styles five voted and one, the crew's judge, decided for `modern`."""
    image_id = crew.image_at("styles")
    experts = vote(crew, *(styles(name, unsure=True) for name in DIVIDED))
    crew.judge.do("adjudication", {"styles": ["modern"]})
    accepted(crew, image_id)
    return image_id, experts


def named(crew: Crew, *names: str) -> Json:
    """Somebody uninvolved names the styles; what they were shown."""
    umpire = crew.hire("expert")
    seat: Json = umpire.claim()
    refused(umpire.submit(seat, verdict(5)), 422)
    good(umpire.submit(seat, {"styles": list(names)}))
    return seat


def test_whoever_was_outvoted_is_right_when_somebody_uninvolved_names_the_same(crew: Crew) -> None:
    image_id, loser = outvoted(crew)
    task_id = task_of(crew, loser, image_id, "styles")
    lost = figures(crew, loser, "styles")
    assert [one["task_id"] for one in loser.read("/me/appeals/possible")["items"]] == [task_id]
    appealed(loser, task_id)
    named(crew, "punk")
    assert loser.read("/me/appeals")["items"][0]["state"] == "upheld"
    won = figures(crew, loser, "styles")
    assert won["score"] > lost["score"]
    assert won["n"] == lost["n"]
    assert crew.shown(image_id)["labels"]["styles"]["styles"] == ["resort"], "the image stays as it is"
    replays_the_same(crew)


@pytest.mark.parametrize("other", ["resort", "modern"])
def test_an_outvoted_expert_of_whom_nobody_thinks_alike_stays_so(crew: Crew, other: str) -> None:
    image_id, loser = outvoted(crew)
    before = stored(crew)
    appealed(loser, task_of(crew, loser, image_id, "styles"))
    named(crew, other)
    assert loser.read("/me/appeals")["items"][0]["state"] == "dismissed"
    assert stored(crew) == before


def test_who_names_styles_anew_sees_a_divided_image_and_no_vote(crew: Crew) -> None:
    image_id, loser = outvoted(crew)
    appealed(loser, task_of(crew, loser, image_id, "styles"))
    seat = named(crew, "modern")
    crew.image_at("styles")
    vote(crew, *(styles(name, unsure=True) for name in DIVIDED))
    usual = crew.judge.claim("adjudication")
    assert usual["cause"] == "styles"
    assert seat.keys() == usual.keys()
    for name in ("stage", "round", "cause", "disputed", "candidates", "feedback", "labels"):
        assert seat[name] == usual[name], name
    assert seat["image"]["id"] != image_id


def test_the_majority_has_nothing_to_appeal_against_and_is_not_marked(crew: Crew) -> None:
    image_id = crew.image_at("styles")
    winner, loser, _ = vote(crew, styles("resort", unsure=True), styles("punk"), styles("resort"))
    accepted(crew, image_id)
    refused(appeal(winner, task_of(crew, winner, image_id, "styles")), 409, "nothing_against")
    assert winner.read("/me/appeals/possible")["items"] == []
    before = figures(crew, winner, "styles")
    appealed(loser, task_of(crew, loser, image_id, "styles"))
    named(crew, "punk")
    assert figures(crew, winner, "styles") == before


def test_before_the_image_is_through_a_vote_cannot_be_appealed(crew: Crew) -> None:
    image_id = crew.image_at("styles")
    _, loser, _ = vote(crew, styles("resort", unsure=True), styles("punk"), styles("resort"))
    refused(appeal(loser, task_of(crew, loser, image_id, "styles")), 409, "nothing_against")


def test_who_settled_the_votes_alone_is_marked_once(crew: Crew) -> None:
    image_id, experts = divided(crew)
    one, other = experts[1], experts[4]
    for each in (one, other):
        appealed(each, task_of(crew, each, image_id, "styles"))
    named(crew, "punk")
    marked = figures(crew, crew.judge, "adjudication")
    assert marked["n"] == 1
    named(crew, "punk")
    assert figures(crew, crew.judge, "adjudication") == marked
    assert {each.read("/me/appeals")["items"][0]["state"] for each in (one, other)} == {"upheld"}
    replays_the_same(crew)


def test_where_the_main_style_is_nobody_s_doubt_the_others_decide() -> None:
    vote_, settled = {"styles": ["resort", "punk"]}, ["resort"]
    assert is_vote_upheld(vote_, settled, ["resort", "punk"])
    assert not is_vote_upheld(vote_, settled, ["resort"])
    assert not is_vote_upheld(vote_, settled, ["modern"])
    assert not is_vote_upheld({"styles": ["punk", "resort"]}, settled, ["resort", "punk"])
