"""Figures against scikit-learn, pycocotools and reckoning by hand."""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from sklearn import metrics as oracle

from crowd.ml import metrics

LABELS = [f"label {n}" for n in range(6)]


@pytest.fixture
def scored() -> tuple[Any, Any]:
    """Probabilities, some of them equal, and truths; the last label never holds."""
    dice = np.random.default_rng(5)
    truth = (dice.random((80, 6)) < (0.5, 0.3, 0.2, 0.1, 0.05, 0.0)).astype(int)
    truth[0, :5] = 1
    probabilities = np.round(np.clip(0.4 * truth + 0.7 * dice.random((80, 6)), 0, 1), 1)
    return probabilities, truth


def test_average_precision_is_scikit_learns_also_with_equal_scores(scored: tuple[Any, Any]) -> None:
    probabilities, truth = scored
    for label in range(5):
        expected = oracle.average_precision_score(truth[:, label], probabilities[:, label])
        assert metrics.average_precision(probabilities[:, label], truth[:, label]) == pytest.approx(expected)
    assert metrics.average_precision(probabilities[:, 5], truth[:, 5]) is None
    expected = oracle.average_precision_score(truth[:, :5], probabilities[:, :5], average="macro")
    assert metrics.mean_average_precision(probabilities, truth) == pytest.approx(expected)


def test_constant_scores_have_the_precision_of_chance() -> None:
    truth = np.array([1, 0, 0, 0, 1])
    assert metrics.average_precision(np.full(5, 0.3), truth) == pytest.approx(0.4)


def test_precision_and_recall_are_scikit_learns_micro_and_macro(scored: tuple[Any, Any]) -> None:
    probabilities, truth = scored
    chosen = metrics.chosen_above(probabilities)
    found = metrics.precision_and_recall(chosen, truth)
    assert found["OP"] == pytest.approx(oracle.precision_score(truth, chosen, average="micro"))
    assert found["OR"] == pytest.approx(oracle.recall_score(truth, chosen, average="micro"))
    assert found["OF1"] == pytest.approx(oracle.f1_score(truth, chosen, average="micro"))
    seen = truth[:, :5], chosen[:, :5]
    cp = oracle.precision_score(*seen, average="macro", zero_division=0)
    cr = oracle.recall_score(*seen, average="macro")
    assert found["CP"] == pytest.approx(cp)
    assert found["CR"] == pytest.approx(cr)
    # ML-GCN's CF1 is of the two means, not the mean of F1 by label.
    assert found["CF1"] == pytest.approx(2 * cp * cr / (cp + cr))


def test_style_figures_by_hand() -> None:
    probabilities = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.1, 0.2, 0.3], [0.4, 0.3, 0.2, 0.1]])
    truth = np.array([[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 0]])
    found = metrics.style_figures(probabilities, truth, list("abcd"))
    # Chosen above 0.5: a b c d of the first, a of the second: 2 hits of 5 chosen, of 5 true.
    assert (found["OP"], found["OR"]) == (pytest.approx(2 / 5), pytest.approx(2 / 5))
    # Of the three likeliest the first loses d: 1 hit of 4.
    assert (found["OP@3"], found["OR@3"]) == (pytest.approx(1 / 4), pytest.approx(1 / 5))
    # Among the three likeliest, whatever their score: a of a d; d of d; a b of a b.
    assert found["recall@3"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found["recall@3_macro"] == pytest.approx((2 / 2 + 1 / 1 + 1 / 2) / 3)
    assert found["labels"]["c"] == {"images": 0, "AP": None, "recall@3": None}
    assert found["labels"]["d"]["AP"] == pytest.approx(1.0)
    assert found["mAP"] == pytest.approx(np.mean([(1 / 2 * 0.5 + 1 / 2 * 2 / 3), 1 / 2, 1.0]))


def test_attribute_figures_by_hand_and_as_scikit_learns_top_k(scored: tuple[Any, Any]) -> None:
    dice = np.random.default_rng(7)
    places = dice.integers(0, 5, 60)
    scores = dice.random((60, 5))
    single = np.eye(5, dtype=int)[places]
    several = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    of_several = np.array([[0.9, 0.1, 0.8, 0.7], [1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4]])
    found = metrics.attribute_figures(
        {"one": scores, "many": of_several, "never": of_several},
        {"one": single, "many": several, "never": np.zeros((3, 4), int)},
    )
    for count in (1, 3):
        expected = oracle.top_k_accuracy_score(places, scores, k=count, labels=range(5))
        assert found["attributes"]["one"][f"top{count}"] == pytest.approx(expected)
    recalls = oracle.recall_score(places, scores.argmax(axis=1), average="macro")
    assert found["attributes"]["one"]["top1_macro"] == pytest.approx(recalls)
    many = found["attributes"]["many"]
    assert (many["garments"], many["values"]) == (2, 3)
    assert (many["top1"], many["top3"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["attributes"]["never"]["top1"] is None
    assert found["top1"] == pytest.approx((found["attributes"]["one"]["top1"] + 2 / 3) / 2)


def square(left: int, top: int, side: int) -> dict[str, Any]:
    mask = np.zeros((40, 40), np.uint8, order="F")
    mask[top : top + side, left : left + side] = 1
    return {"bbox": [left, top, side, side], "segmentation": coco_mask.encode(mask), "area": side * side}


def truth_of(*squares: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [{"id": 1, "width": 40, "height": 40}],
        "categories": [{"id": 1, "name": "top"}, {"id": 2, "name": "dress"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": part, "iscrowd": 0, **each}
            for n, (part, each) in enumerate(squares, 1)
        ],
    }


def found_as(part: int, shape: dict[str, Any], score: float = 0.9) -> dict[str, Any]:
    return {
        "image_id": 1,
        "category_id": part,
        "score": score,
        **{name: shape[name] for name in ("bbox", "segmentation")},
    }


def test_detections_are_judged_by_overlap_and_by_part() -> None:
    truth = truth_of((1, square(4, 4, 20)), (2, square(10, 10, 20)))
    perfect = metrics.detection_figures(
        truth, [found_as(1, square(4, 4, 20)), found_as(2, square(10, 10, 20))]
    )
    assert (perfect["mask_AP"], perfect["box_AP"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert perfect["mask_AP50_by_part"] == {"top": pytest.approx(1.0), "dress": pytest.approx(1.0)}
    # 4 pixels aside: 16 of 24 columns overlap, an IoU of 2/3.
    aside = metrics.detection_figures(truth, [found_as(1, square(8, 4, 20))])
    assert aside["mask_AP50_by_part"] == {"top": pytest.approx(1.0), "dress": pytest.approx(0.0)}
    assert (aside["mask_AP50"], aside["mask_AP75"]) == (pytest.approx(0.5), pytest.approx(0.0))
    wrong_part = metrics.detection_figures(truth, [found_as(2, square(4, 4, 20))])
    assert wrong_part["mask_AP50"] == pytest.approx(0.0)


def test_nothing_found_is_an_average_precision_of_nothing() -> None:
    found = metrics.detection_figures(truth_of((1, square(4, 4, 20))), [])
    assert (found["mask_AP"], found["box_AP50"], found["garments"]) == (0.0, 0.0, 1)


def test_half_of_the_mask_in_the_whole_box_counts_as_a_box_alone() -> None:
    shape = square(4, 4, 20)
    mask = np.zeros((40, 40), np.uint8, order="F")
    mask[4:12, 4:24] = 1
    found = metrics.detection_figures(
        truth_of((1, shape)), [{**found_as(1, shape), "segmentation": coco_mask.encode(mask)}]
    )
    assert found["box_AP50"] == pytest.approx(1.0)
    assert found["mask_AP50"] == pytest.approx(0.0)
