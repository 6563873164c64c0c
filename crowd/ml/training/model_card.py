"""The model card: a page on what was trained, on what, how well beside the baseline, and where it ends."""

from collections.abc import Mapping, Sequence
from typing import Any

from crowd.ml.data import TEST, VALIDATION, DataSet

TASKS = {
    "attributes": "Attributes of garments, from a crop of each.",
    "styles": "Styles of an outfit, several at once, from the whole image.",
    "segmentation": "Garments of an image by part, each with its box and mask.",
}
MEANINGS = {
    "attributes": (
        "`top1`, `top3`: share of true values among the best one or three, the mean over attributes; "
        "`top1_macro`: by value first. *prior*: the values most frequent on that part of the training images."
    ),
    "styles": (
        "`mAP`: mean average precision over the styles that occur. OP, OR, OF1: overall precision, recall "
        "and F1 of styles above 0.5; CP, CR, CF1: by style; `@3`: of the three likeliest. `recall@3`: share "
        "of an image's styles among its three likeliest. *prior*: each style as likely as in training."
    ),
    "segmentation": (
        "Average precision of boxes and masks as COCO defines it. *prior*: on every image the mean mask of "
        "each part in training."
    ),
}


def render(card: Mapping[str, Any], metrics: Mapping[str, Any], data: DataSet) -> str:
    """The page as Markdown."""
    stage = card["stage"]
    hyper = {name: value for name, value in card["training"].items() if name not in ("images", "initialised")}
    held_out = TEST if TEST in metrics else VALIDATION
    return "\n".join(
        [
            f"# {card['net']} for {stage}",
            "",
            TASKS[stage],
            "",
            *_table(
                ("", ""),
                [
                    ("trained at", card["trained_at"]),
                    ("initialised", _initialised(card)),
                    ("taxonomy", f"{card['taxonomy']['name']}, version {card['taxonomy']['version']}"),
                    ("input", _input(card["inputs"])),
                    ("best epoch", f"{metrics['best_epoch']} of {metrics['epochs']}"),
                    ("trained on", f"{metrics['processes']} × {metrics['device']}"),
                ],
            ),
            "## Data",
            "",
            f"`{data.folder.name}`, a K-Fashion folder, split by look.",
            "",
            *_table(("split", "images"), list(metrics["images"].items())),
            *_unknown(data),
            f"## Figures on the {held_out} images",
            "",
            MEANINGS[stage],
            "",
            *_figures(metrics[held_out]),
            *_classes(stage, metrics[held_out]),
            "## Hyper-parameters",
            "",
            *_table(("name", "value"), [(name, f"`{value}`") for name, value in hyper.items()]),
            "## Limits",
            "",
            *_limits(card, metrics, held_out),
            "",
        ]
    )


def _initialised(card: Mapping[str, Any]) -> str:
    how = card["training"]["initialised"]
    return "at random: no published weights were given" if how == "random" else str(how)


def _input(inputs: Mapping[str, Any]) -> str:
    height, width = inputs["size"]
    crop = (
        f"each garment's box and {inputs['margin']:.0%} around it"
        if inputs["crop"] == "region"
        else "the image"
    )
    return f"{crop}, {'squashed' if inputs['fit'] == 'squash' else 'scaled'} to {height} × {width} px"


def _unknown(data: DataSet) -> list[str]:
    if not data.unknown:
        return []
    words = ", ".join(f"{word} ({count})" for word, count in data.unknown.most_common(10))
    return [f"Not read, because the taxonomy has no word for it: {words}.", ""]


def _figures(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    model, prior = found["model"], found["prior"]
    rows = [
        (f"`{name}`", _number(value), _number(prior[name]))
        for name, value in model.items()
        if not isinstance(value, Mapping) and name not in ("images", "garments")
    ]
    return _table(("figure", "model", "prior"), rows)


def _classes(stage: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    model, prior = found["model"], found["prior"]
    if stage == "segmentation":
        name = "mask_AP50_by_part"
        rows = [(part, _number(value), _number(prior[name][part])) for part, value in model[name].items()]
        return _table(("part", "mask AP50", "prior"), rows)
    inner, figures = ("labels", ("AP", "recall@3")) if stage == "styles" else ("attributes", ("top1", "top3"))
    rows = []
    for name, of_model in model[inner].items():
        of_prior = prior[inner][name]
        pairs = [_number(each[figure]) for figure in figures for each in (of_model, of_prior)]
        rows.append((name, of_model.get("images", of_model.get("values")), *pairs))
    heads = [head for figure in figures for head in (figure, "prior")]
    return _table((inner[:-1], "n", *heads), rows)


def _limits(card: Mapping[str, Any], metrics: Mapping[str, Any], held_out: str) -> Sequence[str]:
    count = metrics["images"][held_out]
    limits = [
        f"- The figures come of {count} images of the same source as the training's; others may fare worse.",
        "- Labels that are rare in training are hardly known: see the figures by label, and the macro ones.",
        "- What it says is a proposal to a person who labels, not a label.",
    ]
    if held_out == VALIDATION:
        limits.insert(0, "- There were no test images: these are the images that chose the best epoch.")
    if card["training"]["initialised"] == "random":
        limits.append("- It began at random; with published weights it needs far fewer images.")
    return limits


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–" if value is None else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]
