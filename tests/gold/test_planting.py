"""What is shown and what is right must hold together: whoever sits there answers about what is shown."""

from typing import Any

import pytest

from tests.gold.conftest import LABELS, GoldCrew
from tests.gold.test_pool import ask, pool
from tests.kinds import Answer
from tests.scenarios.people import Json, good, refused, regions

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
UNUSABLE = {"unusable": "watermark"}
OTHERS: Json = {
    "regions": [
        {"id": "k7", "part": "top", "rings": [[[10, 10], [200, 10], [200, 300], [10, 300]]]},
        {"id": "k8", "part": "bottom", "rings": [[[10, 310], [200, 310], [200, 500], [10, 500]]]},
    ]
}
VALUES: Json = {"regions": {"k7": {"category": "blouses"}, "k8": {}}}

pytestmark = ON_SQLITE


@pytest.fixture
def gold_percent() -> float:
    """None is hidden here but what a test puts before somebody."""
    return 0.0


@pytest.mark.parametrize(
    ("stage", "more", "path"),
    [
        ("first_review", {"labels": {"segmentation": OTHERS}, "fault": "attributes"}, "labels.attributes"),
        ("first_review", {"labels": {"segmentation": OTHERS}}, "labels.attributes"),
        ("first_review", {"labels": {"segmentation": regions("dress")}}, "labels.attributes"),
        ("first_review", {"labels": {"styles": UNUSABLE}, "fault": "styles"}, "labels.styles"),
        (
            "first_review",
            {"labels": {"segmentation": UNUSABLE, "attributes": VALUES}},
            "labels.segmentation",
        ),
        ("attributes", {"labels": {"segmentation": UNUSABLE}, "answer": VALUES}, "labels.segmentation"),
        ("attributes", {"labels": {"segmentation": UNUSABLE}}, "labels.segmentation"),
        ("attributes", {"labels": {"segmentation": OTHERS}}, "answer"),
        ("styles", {"labels": {"attributes": UNUSABLE}}, "labels.attributes"),
    ],
)
def test_what_does_not_hold_together_is_refused_where_it_breaks(
    crew: GoldCrew, stage: str, more: dict[str, Any], path: str
) -> None:
    (source,) = crew.sources(1)
    errors = refused(ask(crew.admin, source, stage, **more), 422)["errors"]
    assert [name for name in errors if name.startswith(path)], errors
    assert pool(crew) == []


def test_other_outlines_come_with_attributes_of_their_own(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    # In the order of the stages, however they are written.
    shown = {"attributes": VALUES, "segmentation": OTHERS}
    (item,) = crew.gold([source], "first_review", labels=shown)
    assert [region["id"] for region in item["labels"]["segmentation"]["regions"]] == ["k7", "k8"]
    assert item["answer"] == {"passes": False, "blame": "segmentation"}, "the earliest that is wrong"
    (other,) = crew.gold([source], "attributes", labels={"segmentation": OTHERS}, answer=VALUES)
    assert set(other["answer"]["regions"]) == {"k7", "k8"}


def test_labels_as_they_are_make_nothing_wrong(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    own = crew.admin.image(source)["labels"]
    (item,) = crew.gold([source], "first_review", labels={"styles": own["styles"]})
    assert item["answer"] == {"passes": True, "blame": None}


def test_an_answer_to_what_was_planted_is_taken(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "attributes", labels={"segmentation": OTHERS}, answer=VALUES)
    trainee = crew.hire("trainee")
    task = good(trainee.post("/courses/attributes/practice", {}))["task"]
    good(trainee.submit(task, VALUES))
    assert trainee.read(f"/courses/attributes/practice/{task['id']}")["value"] == 1.0


def whatever() -> list[Any]:
    return [UNUSABLE, OTHERS, VALUES, LABELS, None, [], 5, {"regions": None}, {"styles": ["street"]}]


@pytest.mark.parametrize("stage", ["attributes", "styles", "first_review", "second_review"])
def test_nothing_that_is_asked_for_breaks_it(crew: GoldCrew, stage: str) -> None:
    (source,) = crew.sources(1)
    for fault in (None, "segmentation", "attributes", "styles", "first_review"):
        for shown in ("segmentation", "attributes", "styles"):
            for value in whatever():
                for answer in (None, UNUSABLE, VALUES):
                    more = {"labels": {shown: value}, "fault": fault, "answer": answer}
                    response: Answer = ask(crew.admin, source, stage, **more)
                    assert response.status_code in (201, 409, 422), (more, response.text)
