"""What a course tells: how each stage is done, and what an answer got right and wrong, in words. PURE."""

from collections.abc import Mapping
from typing import Any

from crowd.policy import Stage

GUIDE: dict[Stage, tuple[str, ...]] = {
    Stage.SEGMENTATION: (
        "Outline every garment that is worn: outer, top, bottom or dress. Accessories are left out.",
        "Follow the visible edge, a little inside of it rather than outside; skin and background stay out.",
        "A garment cut in parts by an arm or a bag is one region with several rings.",
        "Call the image unusable where no garment can be outlined, and say why.",
    ),
    Stage.ATTRIBUTES: (
        "Look at the outlines first: where one is missing or wrong, send the image back instead of going on.",
        "Choose for each region what is seen, not what is likely; what cannot be seen stays empty.",
        "The category comes first: it decides how the rest is read. Color is the one that covers most.",
        "Name every detail, print and material that is plainly there, and none besides.",
    ),
    Stage.STYLES: (
        "The main style comes first: what somebody would call the whole outfit at a glance.",
        "Add a second one only where it is as plain as the first.",
        "Say that you are unsure where you are: others are then asked.",
    ),
    Stage.FIRST_REVIEW: (
        "5: all of it holds. 4: a slight difference that nobody would mind.",
        "3: the style is wrong. 2: an attribute is wrong. 1: picture and labels do not belong together.",
        "From 3 down name what is wrong, and the stage where it went wrong.",
    ),
    Stage.SECOND_REVIEW: (
        "Judge by yourself: nobody's verdict is shown, and yours is not shown to the other seat.",
        "4 and 5 let the image through for good; 1 to 3 send it back, so say where the fault lies.",
        "In the grid look for the odd one out, and open whatever makes you hesitate.",
    ),
}


def explain(note: Mapping[str, Any]) -> str:
    """One sentence on one thing that was compared."""
    path, given, known, value = (note[name] for name in ("path", "given", "known", "value"))
    if path.endswith(".rings"):
        return f"{path}: the outline covers the known one to {round(100 * value)} % (overlap over union)."
    if value >= 1:
        return f"{path}: right."
    if known is None:
        return f"{path}: {_said(given)} is too much; there is nothing."
    if given is None:
        return f"{path}: missing; it is {_said(known)}."
    return f"{path}: you said {_said(given)}; it is {_said(known)}."


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
