"""What bots know, see, get wrong and decide."""

import random
from collections import Counter
from typing import Any

import pytest

from crowd.policy import Grade, Stage
from crowd.review.policy import check_verdict
from crowd.simulation.bots import Action, Release, SendBack, Submit, attributes_of, decide
from crowd.simulation.crew import CrewTooSmall, Persona, assemble, grades_for
from crowd.simulation.drawing import draw
from crowd.simulation.faults import Fault, find_faults
from crowd.simulation.figures import percentile, shares_equal
from crowd.simulation.mistakes import spoil_attributes, spoil_segmentation, spoil_styles
from crowd.simulation.truth import Truth, seeded_truth
from crowd.simulation.vocabulary import Vocabulary
from crowd.tasks import labels
from crowd.tasks.flow import LABELLING
from crowd.taxonomy import load_taxonomy, parse_taxonomy

TAXONOMY = load_taxonomy()
VOCABULARY = Vocabulary.read(TAXONOMY.public())
SIZE = (480, 640)
SEEDS = range(60)


def truth_of(image_id: int) -> Truth:
    return seeded_truth(VOCABULARY, 7, image_id, *SIZE)


def true_labels(truth: Truth) -> dict[str, Any]:
    return {"segmentation": truth.segmentation, "attributes": truth.attributes, "styles": truth.styles}


def persona(**changed: Any) -> Persona:
    sure = dict.fromkeys((*LABELLING, Stage.ADJUDICATION), 1.0)
    told: dict[str, Any] = {
        "number": 1,
        "grade": Grade.GENERAL,
        "careless": False,
        "accuracy": sure,
        "notice": 1.0,
        "check": 1.0,
        "false_alarm": 0.0,
        "unsure": 0.0,
        "focus": None,
        "may_skip": False,
    }
    return Persona(**{**told, **changed})


def task_at(stage: Stage, given: dict[str, Any], **changed: Any) -> dict[str, Any]:
    task = {
        "id": 1,
        "stage": str(stage),
        "round": 1,
        "image": {"id": 1, "width": SIZE[0], "height": SIZE[1]},
        "labels": {str(name): given.get(name) for name in LABELLING},
        "feedback": [],
    }
    return {**task, **changed}


def actions(task: dict[str, Any], truth: Truth, who: Persona, times: int = 60) -> list[Action]:
    """What the persona does with the task under many dice, releases left out."""
    done = [decide(task, truth, who, VOCABULARY, random.Random(seed)) for seed in range(times)]
    return [action for action in done if not isinstance(action, Release)]


def result_of(task: dict[str, Any], truth: Truth, who: Persona) -> dict[str, Any]:
    action = actions(task, truth, who)[0]
    assert isinstance(action, Submit)
    return action.result


def test_a_seeded_truth_holds_before_the_server_and_is_the_same_again() -> None:
    for image_id in SEEDS:
        truth = truth_of(image_id)
        regions = labels.check_segmentation(truth.segmentation, TAXONOMY, *SIZE)
        labels.check_attributes(truth.attributes, TAXONOMY, labels.region_parts(regions))
        labels.check_styles(truth.styles, TAXONOMY)
        assert truth == truth_of(image_id)
        assert truth.fits(VOCABULARY)
    assert len({str(truth_of(image_id)) for image_id in SEEDS}) == len(SEEDS)


def test_a_truth_can_be_thrown_for_parts_that_no_figure_wears() -> None:
    document = TAXONOMY.document
    document["parts"] = [{"key": key, "en": key, "ko": key} for key in ("sofa", "lamp")]
    for attribute in document["attributes"]:
        attribute["parts"] = ["sofa", "lamp"]
        for value in attribute.get("values", ()):
            value.pop("parts", None)
    furniture = parse_taxonomy(document)
    truth = seeded_truth(Vocabulary.read(furniture.public()), 7, 1, *SIZE)
    regions = labels.check_segmentation(truth.segmentation, furniture, *SIZE)
    assert not find_faults({"segmentation": regions}, truth)


def test_a_drawn_truth_speaks_the_vocabulary_until_the_vocabulary_shrinks() -> None:
    truth = Truth.read(draw(11).truth)
    assert truth.fits(VOCABULARY)
    main = truth.styles["styles"][0]
    fewer = Vocabulary(
        VOCABULARY.parts,
        VOCABULARY.questions,
        tuple(style for style in VOCABULARY.styles if style != main),
        VOCABULARY.reasons,
        VOCABULARY.unusable,
    )
    assert not truth.fits(fewer)


def test_true_labels_have_no_fault_in_the_form_the_server_gives_back() -> None:
    for image_id in SEEDS:
        truth = truth_of(image_id)
        regions = labels.check_segmentation(truth.segmentation, TAXONOMY, *SIZE)
        attributes = labels.check_attributes(truth.attributes, TAXONOMY, labels.region_parts(regions))
        given = {"segmentation": regions, "attributes": attributes, "styles": truth.styles}
        assert find_faults(given, truth) == []


def test_region_ids_and_their_order_do_not_matter() -> None:
    truth = Truth.read(draw(3).truth)
    renamed = [{**region, "id": f"x{region['id']}"} for region in reversed(truth.segmentation["regions"])]
    attributes = {f"x{name}": values for name, values in truth.attributes["regions"].items()}
    given = {"segmentation": {"regions": renamed}, "attributes": {"regions": attributes}}
    assert find_faults(given, truth) == []


def test_every_spoilt_answer_is_well_formed_and_has_a_fault_of_its_stage_alone() -> None:
    seen = set()
    for seed in range(150):
        truth, dice = truth_of(seed), random.Random(seed)
        regions = spoil_segmentation(truth.segmentation, VOCABULARY, SIZE, dice)
        labels.check_segmentation(regions, TAXONOMY, *SIZE)
        wrong_regions = find_faults({**true_labels(truth), "segmentation": regions}, truth)
        assert wrong_regions
        assert wrong_regions[0].stage is Stage.SEGMENTATION
        parts = labels.region_parts(truth.segmentation)
        attributes = spoil_attributes(truth.attributes, parts, VOCABULARY, dice)
        labels.check_attributes(attributes, TAXONOMY, parts)
        wrong_values = find_faults({**true_labels(truth), "attributes": attributes}, truth)
        assert {fault.stage for fault in wrong_values} == {Stage.ATTRIBUTES}
        styles = spoil_styles(truth.styles, VOCABULARY, dice)
        labels.check_styles(styles, TAXONOMY)
        assert find_faults({"styles": styles}, truth) == [Fault(Stage.STYLES, "wrong_style")]
        seen |= {fault.reason for fault in (*wrong_regions, *wrong_values)}
    kinds = {"bad_outline", "missed_garment", "wrong_part", "missing", "wrong_category", "wrong_color"}
    assert kinds <= seen


def test_spoiling_leaves_the_truth_alone() -> None:
    truth, dice = truth_of(5), random.Random(5)
    before = str(truth)
    for _ in range(30):
        spoil_segmentation(truth.segmentation, VOCABULARY, SIZE, dice)
        spoil_attributes(truth.attributes, labels.region_parts(truth.segmentation), VOCABULARY, dice)
        spoil_styles(truth.styles, VOCABULARY, dice)
    assert str(truth) == before


def test_a_bot_without_fault_answers_the_truth_at_every_stage() -> None:
    truth = truth_of(1)
    given = true_labels(truth)
    for stage in LABELLING:
        answer = result_of(task_at(stage, {**given, stage: None}), truth, persona())
        assert find_faults({**given, stage: answer}, truth) == []


def test_a_bot_of_known_accuracy_is_right_about_that_often() -> None:
    truth = truth_of(2)
    half = persona(accuracy=dict.fromkeys(LABELLING, 0.5))
    done = actions(task_at(Stage.SEGMENTATION, {}), truth, half, times=400)
    wrong = [
        bool(find_faults({"segmentation": action.result}, truth))
        for action in done
        if isinstance(action, Submit)
    ]
    assert 0.4 < sum(wrong) / len(wrong) < 0.6


def test_rework_is_done_with_care_even_by_the_careless() -> None:
    truth = truth_of(2)
    never = persona(accuracy=dict.fromkeys(LABELLING, 0.0))
    feedback = [{"stage": "first_review", "score": 1, "reasons": ["bad_outline"], "comment": ""}]
    task = task_at(Stage.SEGMENTATION, {}, round=2, feedback=feedback)
    done = actions(task, truth, never, times=300)
    right = [
        not find_faults({"segmentation": action.result}, truth)
        for action in done
        if isinstance(action, Submit)
    ]
    assert sum(right) / len(right) > 0.93


@pytest.mark.parametrize("stage", [Stage.ATTRIBUTES, Stage.STYLES])
def test_wrong_regions_are_sent_back_before_labelling(stage: Stage) -> None:
    truth = truth_of(4)
    wrong = spoil_segmentation(truth.segmentation, VOCABULARY, SIZE, random.Random(1))
    task = task_at(stage, {**true_labels(truth), "segmentation": wrong})
    for action in actions(task, truth, persona()):
        assert isinstance(action, SendBack)
        assert action.to is Stage.SEGMENTATION
        assert set(action.reasons) <= set(VOCABULARY.reasons[Stage.SEGMENTATION])
    assert all(isinstance(action, Submit) for action in actions(task, truth, persona(check=0.0)))


def test_attributes_answer_for_exactly_the_regions_that_are_drawn() -> None:
    truth = truth_of(6)
    odd = {"id": "odd", "part": "top", "rings": [[[1, 1], [9, 1], [9, 9]]]}
    regions = [{**truth.segmentation["regions"][0], "part": "outer"}, odd]
    answer = attributes_of(regions, truth, VOCABULARY, random.Random(1))
    parts = {region["id"]: region["part"] for region in regions}
    labels.check_attributes(answer, TAXONOMY, parts)


def test_a_reviewer_blames_the_earliest_wrong_stage() -> None:
    truth = truth_of(8)
    dice = random.Random(3)
    parts = labels.region_parts(truth.segmentation)
    wrong_attributes = spoil_attributes(truth.attributes, parts, VOCABULARY, dice)
    wrong_styles = spoil_styles(truth.styles, VOCABULARY, dice)
    for stage in (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW):
        both = {**true_labels(truth), "attributes": wrong_attributes, "styles": wrong_styles}
        verdict = result_of(task_at(stage, both), truth, persona())
        assert (verdict["score"], verdict["blame"]) == (2, "attributes")
        check_verdict(verdict, stage, TAXONOMY)
        late = result_of(task_at(stage, {**true_labels(truth), "styles": wrong_styles}), truth, persona())
        assert (late["score"], late["blame"], late["reasons"]) == (3, "styles", ["wrong_style"])


def test_a_reviewer_who_sees_nothing_passes_and_a_nervous_one_rejects() -> None:
    truth = truth_of(8)
    wrong = {**true_labels(truth), "styles": spoil_styles(truth.styles, VOCABULARY, random.Random(1))}
    blind = result_of(task_at(Stage.SECOND_REVIEW, wrong), truth, persona(notice=0.0))
    assert blind["score"] >= 4
    assert blind["blame"] is None
    nervous = result_of(task_at(Stage.SECOND_REVIEW, true_labels(truth)), truth, persona(false_alarm=1.0))
    assert nervous["score"] <= 3
    check_verdict(nervous, Stage.SECOND_REVIEW, TAXONOMY)


def test_a_loop_is_judged_by_the_disputed_stage_alone() -> None:
    truth = truth_of(9)
    stale = {**true_labels(truth), "styles": spoil_styles(truth.styles, VOCABULARY, random.Random(1))}
    task = task_at(Stage.ADJUDICATION, stale, cause="loop", disputed="segmentation")
    assert result_of(task, truth, persona())["score"] >= 4
    task = task_at(Stage.ADJUDICATION, stale, cause="loop", disputed="styles")
    assert result_of(task, truth, persona())["score"] <= 3


def test_divided_experts_are_settled_by_the_true_styles() -> None:
    truth = truth_of(9)
    task = task_at(Stage.ADJUDICATION, {**true_labels(truth), "styles": None}, cause="styles", disputed=None)
    assert result_of(task, truth, persona())["styles"] == truth.styles["styles"]


def test_an_image_without_fashion_is_called_unusable() -> None:
    truth = seeded_truth(VOCABULARY, 7, 1, *SIZE, "not_fashion")
    for stage in LABELLING:
        answer = result_of(task_at(stage, true_labels(truth)), truth, persona())
        assert answer == {"unusable": "not_fashion"}


def test_only_fresh_segmentation_is_skipped() -> None:
    truth = truth_of(1)
    skipper = persona(may_skip=True)

    def skips(task: dict[str, Any]) -> int:
        done = [decide(task, truth, skipper, VOCABULARY, random.Random(seed)) for seed in range(500)]
        return sum(action == Release(skip=True) for action in done)

    assert skips(task_at(Stage.SEGMENTATION, {})) > 0
    assert skips(task_at(Stage.SEGMENTATION, {}, round=2)) == 0
    assert skips(task_at(Stage.FIRST_REVIEW, true_labels(truth))) == 0


def test_the_same_dice_decide_the_same() -> None:
    truth = truth_of(3)
    who = persona(accuracy=dict.fromkeys(LABELLING, 0.5))
    task = task_at(Stage.SEGMENTATION, {})
    once, again = (
        [decide(task, truth, who, VOCABULARY, random.Random(seed)) for seed in range(30)] for _ in range(2)
    )
    assert once == again


def test_a_crew_of_twenty_has_the_usual_mix_and_somebody_careless_everywhere_it_matters() -> None:
    crew = assemble(20, 7, 0.12)
    assert Counter(each.grade for each in crew) == {
        Grade.GENERAL: 8,
        Grade.SEMI_EXPERT: 2,
        Grade.REVIEWER: 3,
        Grade.EXPERT: 3,
        Grade.INSPECTOR: 4,
    }
    careless = [each.grade for each in crew if each.careless]
    assert careless.count(Grade.INSPECTOR) == 1
    assert len(careless) >= 3
    assert crew == assemble(20, 7, 0.12)
    assert crew != assemble(20, 8, 0.12)


def test_nobody_is_careless_when_none_are_wanted() -> None:
    assert not any(each.careless for each in assemble(20, 7, 0.0))
    assert all(accuracy > 0.9 for each in assemble(20, 7, 0.0) for accuracy in each.accuracy.values())


@pytest.mark.parametrize("workers", [6, 7, 10, 13, 50, 200])
def test_every_crew_fills_every_stage(workers: int) -> None:
    counts = grades_for(workers)
    assert sum(counts.values()) == workers
    assert counts[Grade.INSPECTOR] >= 3
    assert min(counts[Grade.GENERAL], counts[Grade.REVIEWER], counts[Grade.EXPERT]) >= 1
    assert [each.number for each in assemble(workers, 1, 0.1)] == list(range(1, workers + 1))


def test_five_are_too_few() -> None:
    with pytest.raises(CrewTooSmall, match="at least 6"):
        assemble(5, 7, 0.1)


def test_few_reviewers_keep_themselves_free_for_reviewing() -> None:
    scarce = [each.focus for each in assemble(6, 7, 0.1) if each.grade is Grade.REVIEWER]
    plenty = [each.focus for each in assemble(20, 7, 0.1) if each.grade is Grade.REVIEWER]
    assert set(scarce) == {Stage.FIRST_REVIEW}
    assert set(plenty) == {None}


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99)] == [50.0, 95.0, 99.0]
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 50) is None


def test_the_share_equal_to_the_truth_is_told_by_stage_and_in_all() -> None:
    truth = truth_of(1)
    right = true_labels(truth)
    wrong = {**right, "styles": spoil_styles(truth.styles, VOCABULARY, random.Random(1))}
    shares = shares_equal([(right, truth), (wrong, truth)])
    assert shares == {"segmentation": 1.0, "attributes": 1.0, "styles": 0.5, "all": 0.5}
    assert shares_equal([])["all"] is None
