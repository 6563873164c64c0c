"""Which task a person is given: reserved, bounced, downstream, priority, oldest."""

from tests.scenarios.people import Crew, refused


def test_the_oldest_comes_first(crew: Crew) -> None:
    made = [crew.image() for _ in range(3)]
    assert [crew.drawer.claim()["image"]["id"] for _ in range(3)] == made


def test_a_batch_of_higher_priority_comes_before_older_work(crew: Crew) -> None:
    plain, urgent, patient = crew.image(), crew.image(batch_priority=-5), crew.image(batch_priority=5)
    assert [crew.drawer.claim()["image"]["id"] for _ in range(3)] == [urgent, plain, patient]


def test_the_stage_furthest_downstream_comes_before_priority(crew: Crew) -> None:
    drawn = crew.image_at("attributes")
    crew.image(batch_priority=-5)
    task = crew.drawer.claim()
    assert (task["stage"], task["image"]["id"]) == ("attributes", drawn)


def test_reviews_come_before_labelling_for_who_may_do_both(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.image()
    assert crew.hire("semi_expert").claim()["stage"] == "first_review"


def test_an_adjudication_comes_before_styles(crew: Crew) -> None:
    crew.split_image()
    crew.image_at("styles")
    assert crew.hire("expert").claim()["stage"] == "adjudication"


def bounced_image(crew: Crew) -> int:
    """An image whose segmentation was sent back and is anybody's."""
    image = crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    crew.drawer.release(crew.drawer.claim("segmentation"))
    return image


def test_bounced_work_comes_before_the_stage_downstream(crew: Crew) -> None:
    crew.image_at("attributes")
    waiting = crew.tagger.claim("attributes")
    back = bounced_image(crew)
    crew.tagger.release(waiting)
    task = crew.hire("general").claim()
    assert (task["stage"], task["image"]["id"]) == ("segmentation", back)


def test_reserved_work_comes_before_bounced_work(crew: Crew) -> None:
    bounced_image(crew)
    author = crew.hire("general")
    holding = crew.tagger.claim("segmentation")
    mine = crew.image()
    author.do("segmentation")
    crew.hire("general").refuse("attributes")
    crew.tagger.release(holding)
    assert author.claim()["image"]["id"] == mine


def test_a_stage_narrows_the_choice(crew: Crew) -> None:
    crew.image_at("attributes")
    newer = crew.image()
    task = crew.hire("general").claim("segmentation")
    assert (task["stage"], task["image"]["id"]) == ("segmentation", newer)


def test_a_stage_narrows_reserved_work_too(crew: Crew) -> None:
    crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    assert crew.drawer.queue_state("attributes") == "empty"
    assert crew.drawer.claim("segmentation")


def test_an_unknown_stage_is_named(crew: Crew) -> None:
    assert "stage" in refused(crew.drawer.ask("ironing"), 422)["errors"]
    assert "stage" in refused(crew.drawer.post("/tasks/claim", {"stage": 3}), 422)["errors"]
