"""How well a model did, from scores and truths as numpy arrays; each figure has its definition here.

`scores` (N, C): more is likelier. `truth` (N, C): 1 where a label holds. Figures are shares from 0 to 1; one
that nothing can be said about (no label occurs) is None.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Array = NDArray[Any]
Figures = dict[str, Any]

THRESHOLD = 0.5
TOP = 3


def average_precision(scores: Array, truth: Array) -> float | None:
    """Area under the precision-recall steps of one label (N,), not interpolated; equal scores at once."""
    positives = int(truth.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    last_of_equals = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision = hits[last_of_equals] / (last_of_equals + 1)
    recall = hits[last_of_equals] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def mean_average_precision(scores: Array, truth: Array) -> float | None:
    """The mean over those labels that occur."""
    known = [average_precision(scores[:, label], truth[:, label]) for label in range(truth.shape[1])]
    return _mean([value for value in known if value is not None])


def precision_and_recall(chosen: Array, truth: Array) -> dict[str, float | None]:
    """Overall and by label, as ML-GCN reports them.

    OP, OR, OF1 from all labels in one heap; CP, CR the means over the labels that occur, CF1 of those two.
    A label never chosen has a precision of 0.
    """
    hits = (chosen * truth).sum(axis=0)
    picked, there = chosen.sum(axis=0), truth.sum(axis=0)
    seen = there > 0
    by_label = hits[seen] / np.maximum(picked[seen], 1), hits[seen] / np.maximum(there[seen], 1)
    overall = float(hits.sum() / max(picked.sum(), 1)), float(hits.sum() / max(there.sum(), 1))
    return {
        "OP": overall[0],
        "OR": overall[1],
        "OF1": _f1(*overall),
        "CP": _mean(by_label[0]),
        "CR": _mean(by_label[1]),
        "CF1": _f1(_mean(by_label[0]) or 0.0, _mean(by_label[1]) or 0.0),
    }


def chosen_above(probabilities: Array, threshold: float = THRESHOLD) -> Array:
    """1 for every label that is at least so likely."""
    return (probabilities >= threshold).astype(np.int64)


def best(scores: Array, count: int = TOP) -> Array:
    """1 for the best labels of each row; of equal ones the first."""
    picked = np.zeros(scores.shape, np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    np.put_along_axis(picked, order, 1, axis=1)
    return picked


def style_figures(probabilities: Array, truth: Array, labels: Sequence[str]) -> Figures:
    """All figures of a multi-label classifier.

    mAP; OP … CF1 of labels above 0.5, and their top-3 forms: of the three likeliest those above 0.5.
    `recall@3`: the share of an image's labels among its three likeliest, the mean over images;
    `recall@3_macro`: that share by label, the mean over labels. `labels`: AP and recall@3 of each.
    """
    picked = chosen_above(probabilities)
    top = best(probabilities)
    hits, there = top * truth, truth.sum(axis=0)
    labelled = truth.sum(axis=1) > 0
    by_label = [float(hits[:, n].sum() / there[n]) if there[n] else None for n in range(len(labels))]
    return {
        "images": len(truth),
        "mAP": mean_average_precision(probabilities, truth),
        **precision_and_recall(picked, truth),
        **{f"{name}@3": value for name, value in precision_and_recall(picked * top, truth).items()},
        "recall@3": _mean(hits[labelled].sum(axis=1) / truth[labelled].sum(axis=1)),
        "recall@3_macro": _mean([value for value in by_label if value is not None]),
        "labels": {
            label: {
                "images": int(there[n]),
                "AP": average_precision(probabilities[:, n], truth[:, n]),
                "recall@3": by_label[n],
            }
            for n, label in enumerate(labels)
        },
    }


def attribute_figures(scores: Mapping[str, Array], truth: Mapping[str, Array]) -> Figures:
    """Top-1 and top-3 of each attribute, and their means over attributes.

    `truth` (N, values) is 0 all along for a garment that has no value. `top1`, `top3`: of all true values
    the share that is among the best one or three (with one value each, that is accuracy). `top1_macro`: that
    share by value, the mean over values. For an attribute of several values `top1` is bounded below 1.
    """
    found = {key: _one_attribute(scores[key], truth[key]) for key in scores}
    told = [figures for figures in found.values() if figures["values"]]
    means = {name: _mean([each[name] for each in told]) for name in ("top1", "top3", "top1_macro")}
    return {**means, "attributes": found}


def _one_attribute(scores: Array, truth: Array) -> Figures:
    there = truth.sum(axis=0)
    seen = there > 0
    first, third = ((best(scores, count) * truth).sum(axis=0) for count in (1, TOP))
    total = int(there.sum())
    return {
        "garments": int((truth.sum(axis=1) > 0).sum()),
        "values": total,
        "top1": float(first.sum() / total) if total else None,
        "top3": float(third.sum() / total) if total else None,
        "top1_macro": _mean(first[seen] / there[seen]),
    }


def detection_figures(truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> Figures:
    """Box and mask average precision as COCO defines them, from documents in COCO's form.

    `truth` has images, annotations (with `segmentation` as RLE) and categories; `found` has `image_id`,
    `category_id`, `score`, `bbox` and `segmentation`.
    """
    names = [category["name"] for category in truth["categories"]]
    figures: Figures = {"images": len(truth["images"]), "garments": len(truth["annotations"])}
    for kind in ("bbox", "segm"):
        name = {"bbox": "box", "segm": "mask"}[kind]
        evaluation = _coco_evaluation(truth, found, kind) if found and truth["annotations"] else None
        figures[f"{name}_AP"] = float(evaluation.stats[0]) if evaluation else 0.0
        figures[f"{name}_AP50"] = float(evaluation.stats[1]) if evaluation else 0.0
        figures[f"{name}_AP75"] = float(evaluation.stats[2]) if evaluation else 0.0
        figures[f"{name}_AP50_by_part"] = _by_part(evaluation, names)
    return figures


def _coco_evaluation(truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], kind: str) -> COCOeval:
    # It prints tables as it goes.
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(each) for each in found]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _by_part(evaluation: COCOeval | None, names: Sequence[str]) -> dict[str, float | None]:
    if evaluation is None:
        return dict.fromkeys(names, None)
    # Threshold 0.5, all recalls, every category, any area, up to 100 detections.
    precision = evaluation.eval["precision"][0, :, :, 0, 2]
    return {
        name: float(precision[:, index].mean()) if (precision[:, index] > -1).all() else None
        for index, name in enumerate(names)
    }


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _mean(values: Sequence[float] | Array) -> float | None:
    return float(np.mean(values)) if len(values) else None
