"""The watch's rules on figures made up for them: what they say, and what they keep quiet about."""

import random

import pytest

from crowd.ml.watch.confidence import LEAST_LABELS, doubt, thresholds
from crowd.ml.watch.diagnosis import Doubted, Fault, Point, diagnose, most_to_blame, stand_out
from crowd.ml.watch.drift import drift
from crowd.ml.watch.sayings import disagreement, doubtfulness, first_answers, sayings
from crowd.policy import Stage
from crowd.taxonomy import load_taxonomy


def curve(*errors: tuple[float, float, float]) -> list[Point]:
    return [Point(1000 * (place + 1), *each) for place, each in enumerate(errors)]


@pytest.mark.parametrize(
    ("errors", "fault"),
    [
        # More data, and the test error does not fall.
        ([(0.30, 0.35, 0.36), (0.30, 0.35, 0.36)], Fault.QUALITY),
        # The validation error falls and the test error rises.
        ([(0.30, 0.35, 0.36), (0.28, 0.31, 0.40)], Fault.VARIETY),
        # The training error falls and the validation error rises.
        ([(0.30, 0.35, 0.36), (0.24, 0.38, 0.37)], Fault.OVERFITTING),
        # All fall: more of the same helps.
        ([(0.30, 0.35, 0.36), (0.28, 0.32, 0.33)], Fault.QUANTITY),
    ],
)
def test_each_shape_of_a_curve_has_its_fault(errors: list[tuple[float, float, float]], fault: Fault) -> None:
    assert [finding.fault for finding in diagnose(curve(*errors))] == [fault]


def test_a_wide_gap_is_told_beside_another_fault_and_by_one_point_alone() -> None:
    faults = [finding.fault for finding in diagnose(curve((0.1, 0.4, 0.42), (0.1, 0.38, 0.39)))]
    assert faults == [Fault.QUANTITY, Fault.OVERFITTING]
    assert [each.fault for each in diagnose(curve((0.1, 0.3, 0.3)))] == [Fault.OVERFITTING]
    assert diagnose(curve((0.2, 0.3, 0.3))) == []
    assert diagnose([]) == []


def test_the_order_of_points_does_not_matter() -> None:
    points = curve((0.30, 0.35, 0.36), (0.28, 0.31, 0.40))
    assert diagnose(points[::-1]) == diagnose(points)


def test_the_subject_whose_test_error_fell_least_is_to_blame() -> None:
    falling, rising = curve((0.3, 0.3, 0.4), (0.3, 0.3, 0.3)), curve((0.3, 0.3, 0.2), (0.3, 0.3, 0.25))
    assert most_to_blame({"color": falling, "print": rising}) == "print"
    assert most_to_blame({"color": falling[:1]}) is None


def test_a_group_with_many_doubted_labels_stands_out_and_a_small_one_cannot() -> None:
    groups = {
        "a shop": Doubted(400, 20),
        "another": Doubted(400, 22),
        "a third": Doubted(200, 40),
        "tiny": Doubted(10, 9),
    }
    assert [name for name, _ in stand_out(groups)] == ["a third"]
    assert stand_out({"only one": Doubted(500, 400)}) == []


def test_confident_learning_finds_the_labels_that_were_changed() -> None:
    # A model that is right in nine of ten cases, and labels of which a tenth was changed by chance.
    dice, classes = random.Random(3), ["a", "b", "c"]
    changed, rows = set(), []
    for number in range(600):
        true = dice.choice(classes)
        said = true if dice.random() < 0.9 else dice.choice(classes)
        scores = {name: 0.8 if name == said else 0.1 for name in classes}
        given = true
        if dice.random() < 0.1:
            given = dice.choice([name for name in classes if name != true])
            changed.add(number)
        rows.append((given, scores))
    counts = {name: sum(given == name for given, _ in rows) for name in classes}
    sums = {name: sum(scores[name] for given, scores in rows if given == name) for name in classes}
    limits = thresholds(counts, sums)
    found = {number for number, (given, scores) in enumerate(rows) if doubt(given, scores, limits)}
    assert len(found & changed) / len(changed) > 0.85
    assert len(found & changed) / len(found) > 0.5


def test_a_class_seen_too_rarely_has_no_threshold_and_proposes_nothing() -> None:
    limits = thresholds({"a": LEAST_LABELS, "b": LEAST_LABELS - 1}, {"a": 5.0, "b": 4.0})
    assert limits == {"a": 0.5}
    assert doubt("a", {"a": 0.1, "b": 0.9}, limits) is None
    assert doubt("b", {"a": 0.6, "b": 0.1}, limits).proposed == "a"  # type: ignore[union-attr]
    assert doubt("b", {"a": 0.6, "b": 0.1}, limits, also=("a",)) is None
    assert doubt("b", {"a": 0.6, "b": 0.7}, {"a": 0.5}) is None, "the label itself is likelier"


def test_deliveries_from_one_crowd_do_not_drift_and_another_mix_does() -> None:
    dice = random.Random(5)
    names, usual, other = ["a", "b", "c", "d"], [5, 3, 1, 1], [1, 1, 3, 5]

    def counts(weights: list[int], size: int) -> dict[str, int]:
        drawn = dice.choices(names, weights, k=size)
        return {name: drawn.count(name) for name in names}

    elsewhere = counts(usual, 2000)
    same = [drift(counts(usual, 60), elsewhere) for _ in range(200)]
    assert not any(each.is_shift for each in same if each)
    shifted = [drift(counts(other, 60), elsewhere) for _ in range(50)]
    assert all(each.is_shift for each in shifted if each)
    assert drift(counts(usual, 10), elsewhere) is None


def test_only_questions_with_one_answer_are_asked() -> None:
    taxonomy = load_taxonomy()
    labels = {"regions": {"r1": {"color": "white", "print": ["solid"], "collar": None}}}
    ranked = [{"value": "black", "score": 0.9}]
    shown = {"regions": {"r1": {"color": ranked, "print": ranked, "collar": ranked}, "r2": {"color": ranked}}}
    (said,) = sayings(Stage.ATTRIBUTES, labels, shown, taxonomy)
    assert (said.region, said.question, said.given, said.scores) == ("r1", "color", "white", {"black": 0.9})
    (style,) = sayings(Stage.STYLES, {"styles": ["resort", "retro"]}, {"styles": ranked}, taxonomy)
    assert (style.given, style.also) == ("resort", ("retro",))
    assert not list(sayings(Stage.STYLES, {"styles": ["resort"]}, {"styles": []}, taxonomy))


def test_doubt_grows_as_the_lead_shrinks_and_nothing_found_is_most_doubtful() -> None:
    def styles(*scores: float) -> dict[str, object]:
        return {"styles": [{"value": str(place), "score": score} for place, score in enumerate(scores)]}

    said = [doubtfulness(Stage.STYLES, styles(*each)) for each in ((0.9, 0.1), (0.5, 0.45), (0.9,), ())]
    assert said == pytest.approx([0.2, 0.95, 0.1, 1.0])
    regions = [{"part": "top", "score": 0.9}, {"part": "bottom", "score": 0.7}]
    assert doubtfulness(Stage.SEGMENTATION, {"regions": regions}) == pytest.approx(0.2)
    assert doubtfulness(Stage.SEGMENTATION, {"regions": []}) == 1.0
    assert list(first_answers(Stage.SEGMENTATION, {"regions": regions})) == ["parts: bottom top"]
    assert disagreement(Stage.STYLES, styles(0.9), styles(0.9)) == 0.0
