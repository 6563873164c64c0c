"""The flow tables: complete, and drawn as they are."""

from pathlib import Path

import pytest

from crowd.policy import Stage
from crowd.tasks.flow import (
    LABELLING,
    NEXT,
    STAGES,
    TRANSITIONS,
    Cause,
    Effect,
    blame_targets,
    downstream_first,
    send_back_targets,
)
from crowd.tasks.flowchart import BEGIN, END, drawing

DOCUMENT = Path(__file__).parents[2] / "docs" / "flow.md"


def test_the_drawing_in_the_documentation_is_that_of_the_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == drawing().strip()


def test_every_stage_can_be_reached_and_left() -> None:
    opened = {move.stage for move in TRANSITIONS.values() if move.stage} | {Stage.SEGMENTATION}
    opened |= {Stage.ADJUDICATION for move in TRANSITIONS.values() if move.effect is Effect.ADJUDICATE}
    assert opened == set(Stage) == set(STAGES) == {stage for stage, _, _ in TRANSITIONS}


def test_only_the_second_review_and_a_split_accept() -> None:
    accepting = {
        (stage, cause) for (stage, cause, _), move in TRANSITIONS.items() if move.effect is Effect.ACCEPT
    }
    assert accepting == {(Stage.SECOND_REVIEW, None), (Stage.ADJUDICATION, Cause.SPLIT)}


def test_a_settled_loop_goes_on_at_the_stage_after_the_disputed_one() -> None:
    stages = list(Stage)
    assert {NEXT[stage] for stage in NEXT} <= set(stages)
    assert all(stages.index(after) == stages.index(stage) + 1 for stage, after in NEXT.items())


@pytest.mark.parametrize(
    ("stage", "targets"),
    [
        (Stage.SEGMENTATION, ()),
        (Stage.ATTRIBUTES, (Stage.SEGMENTATION,)),
        (Stage.STYLES, (Stage.ATTRIBUTES, Stage.SEGMENTATION)),
        (Stage.FIRST_REVIEW, ()),
        (Stage.ADJUDICATION, ()),
    ],
)
def test_a_pre_check_sends_back_to_earlier_labelling(stage: Stage, targets: tuple[Stage, ...]) -> None:
    assert send_back_targets(stage) == targets


def test_the_first_review_can_be_blamed_from_the_second_on() -> None:
    assert blame_targets(Stage.FIRST_REVIEW) == LABELLING
    assert blame_targets(Stage.SECOND_REVIEW) == (*LABELLING, Stage.FIRST_REVIEW)
    assert blame_targets(Stage.ADJUDICATION) == (*LABELLING, Stage.FIRST_REVIEW)
    assert blame_targets(Stage.STYLES) == ()


def test_people_are_given_the_work_nearest_to_the_end_first() -> None:
    given = downstream_first((Stage.SEGMENTATION, Stage.FIRST_REVIEW, Stage.ATTRIBUTES))
    assert given == [Stage.FIRST_REVIEW, Stage.ATTRIBUTES, Stage.SEGMENTATION]
