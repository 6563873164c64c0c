"""The intake criteria: what was measured of a picture against the policy's thresholds. PURE."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crowd.policy import Action, Covering, IntakePolicy

# What decoding noticed of itself, and the criterion that it falls under.
ANIMATION_CODES = frozenset({"animated", "pages"})
FACE_LEFT = "face_left"


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of a picture once it is decoded; the fields are those of decode.Derived.

    `scores`: a trained model's for criteria of SCORED, 0 to 1; where there is one, nobody looks at the signs.
    """

    width: int
    height: int
    dpi: float | None
    signals: Mapping[str, Any]
    faces: int | None
    noticed: tuple[Mapping[str, str], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A finding: code, sentence, what it does, the numbers measured and those they were held against."""

    code: str
    detail: str
    action: Action
    numbers: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


def check(measures: Measures, policy: IntakePolicy) -> list[Found]:
    """Every finding of a picture, in the order of the policy file, but for those that policy ignores."""
    signs = [each for criterion in _CRITERIA for each in criterion(measures, policy)]
    found = [each for each in signs if each.code not in measures.scores]
    found += _scored(measures, policy)
    return [each for each in found if each.action is not Action.IGNORE]


def outcome(found: list[Found]) -> Action:
    """The hardest of what the findings do."""
    hardness = list(Action)
    return max((each.action for each in found), key=hardness.index, default=Action.IGNORE)


def _size(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule = policy.size
    sides = (measures.width, measures.height)
    if min(sides) < rule.least or max(sides) > rule.most:
        yield Found(
            "size",
            f"{measures.width} x {measures.height} pixels; recommended are {rule.least} to {rule.most}",
            rule.action,
            {"width": measures.width, "height": measures.height},
            {"least": rule.least, "most": rule.most},
        )


def _dpi(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule = policy.dpi
    if measures.dpi is not None and not rule.least <= measures.dpi <= rule.most:
        yield Found(
            "dpi",
            f"{measures.dpi:g} dpi; {rule.least} to {rule.most} are recommended",
            rule.action,
            {"dpi": measures.dpi},
            {"least": rule.least, "most": rule.most},
        )


def _aspect(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule = policy.aspect
    aspect = max(measures.width, measures.height) / min(measures.width, measures.height)
    if aspect > rule.most:
        yield Found(
            "aspect",
            f"one side is {aspect:.2f} times the other; at most {rule.most:g} is recommended",
            rule.action,
            {"aspect": round(aspect, 3)},
            {"most": rule.most},
        )


def _noticed(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    for each in measures.noticed:
        if each["code"] == FACE_LEFT:
            # No policy lets a face into work.
            yield Found(each["code"], each["detail"], Action.HOLD)
            continue
        rule = policy.animation if each["code"] in ANIMATION_CODES else policy.damage
        yield Found(each["code"], each["detail"], rule.action)


def _faces(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule = policy.faces
    if rule.cover is Covering.NONE:
        return
    if measures.faces is None:
        yield Found("faces_unchecked", "not checked for faces: the extra `faces` is missing", rule.unchecked)
    elif measures.faces:
        done = "cut away" if rule.cover is Covering.CROP else "made unrecognisable"
        yield Found(
            "face", f"faces found and {done}: {measures.faces}", rule.found, {"faces": measures.faces}
        )


def _watermark(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, strokes = policy.watermark, measures.signals["letters"]
    if strokes >= rule.least_strokes:
        yield Found(
            "watermark",
            f"looks as if something were written near an edge: {strokes} strokes side by side",
            rule.action,
            {"strokes": strokes},
            {"least_strokes": rule.least_strokes},
        )


def _collage(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, seam = policy.collage, measures.signals["seam"]
    if seam >= rule.least:
        yield Found(
            "collage",
            f"looks put together: one straight seam takes {seam:.0%} of a side",
            rule.action,
            {"seam": seam},
            {"least": rule.least},
        )


def _cut_off(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, share = policy.cut_off, measures.signals["cut_off"]
    if share is not None and share >= rule.least:
        yield Found(
            "cut_off",
            f"looks cut off: something touches {share:.0%} of the left or right edge",
            rule.action,
            {"edge": share},
            {"least": rule.least},
        )


def _overlap(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, pieces = policy.overlap, measures.signals["pieces"]
    if pieces is not None and pieces >= rule.least_pieces:
        yield Found(
            "overlap",
            f"looks as if it showed several things: {pieces} side by side",
            rule.action,
            {"pieces": pieces},
            {"least_pieces": rule.least_pieces},
        )


def _illustration(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, signals = policy.illustration, measures.signals
    most = rule.most_tones_grey if signals["grey"] else rule.most_tones
    if signals["tones"] > most or signals["flat"] < rule.least_flat_doubtful:
        return
    yield Found(
        "illustration",
        f"looks drawn: {signals['tones']} colours, {signals['flat']:.0%} of it flat",
        rule.action if signals["flat"] >= rule.least_flat else rule.doubtful,
        {"tones": signals["tones"], "flat": signals["flat"]},
        {"most_tones": most, "least_flat": rule.least_flat, "least_flat_doubtful": rule.least_flat_doubtful},
    )


def _not_fashion(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, signals = policy.not_fashion, measures.signals
    is_scene = signals["edges"] >= rule.least_edges and signals["grain"] <= rule.most_grain
    if is_scene and signals["skin"] < rule.least_skin and signals["ground"] < rule.least_ground:
        yield Found(
            "not_fashion",
            f"no sign of person or garment: {signals['skin']:.1%} skin, {signals['ground']:.0%} plain edge",
            rule.action,
            {name: signals[name] for name in ("skin", "ground", "edges", "grain")},
            {"least_skin": rule.least_skin, "least_ground": rule.least_ground},
        )


def _not_worn(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule, signals = policy.not_worn, measures.signals
    if signals["ground"] >= rule.least_ground and signals["skin"] <= rule.most_skin:
        yield Found(
            "not_worn",
            f"no sign that somebody wears it: {signals['skin']:.1%} skin, {signals['ground']:.0%} plain edge",
            rule.action,
            {name: signals[name] for name in ("skin", "ground")},
            {"most_skin": rule.most_skin, "least_ground": rule.least_ground},
        )


# The criteria that a trained model may score. Nothing but a model or a person tells `product_overlap`.
SCORED = (
    "watermark",
    "collage",
    "cut_off",
    "overlap",
    "product_overlap",
    "not_worn",
    "illustration",
    "not_fashion",
)


def _scored(measures: Measures, policy: IntakePolicy) -> Iterator[Found]:
    rule = policy.scores
    for code in SCORED:
        score = measures.scores.get(code)
        if score is not None and score >= min(rule.least, rule.least_doubtful):
            yield Found(
                code,
                f"a model gives {score:.2f} of 1 for it",
                rule.action if score >= rule.least else rule.doubtful,
                {"score": round(score, 4)},
                {"least": rule.least, "least_doubtful": rule.least_doubtful},
            )


_CRITERIA: tuple[Callable[[Measures, IntakePolicy], Iterator[Found]], ...] = (
    _size,
    _dpi,
    _aspect,
    _noticed,
    _faces,
    _watermark,
    _collage,
    _cut_off,
    _overlap,
    _illustration,
    _not_fashion,
    _not_worn,
)
