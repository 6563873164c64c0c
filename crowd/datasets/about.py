"""What only its makers can say of a data set: the free fields of the guideline's specification form. PURE."""

from collections.abc import Mapping

from crowd.core.errors import Unprocessable

LONGEST = 4000
# In the order of the guideline's form, with what to write there; the last three are for catalogues.
ABOUT: Mapping[str, str] = {
    "name": "The name of the data set.",
    "use": "The field it is meant for.",
    "summary": "What it is, in a sentence.",
    "source": "Where the images come from.",
    "history": "How this version differs from the one before.",
    "author": "Who made it, and who hands it out.",
    "comparison": "Figures of research, beside those of similar data.",
    "coverage": "What part of its field it stands for.",
    "independence": "Whether it depends on law, sensitive facts, or anything that may change.",
    "cautions": "What to mind when it is used or handed on.",
    "related": "Papers and other work that used it.",
    "license": "The terms under which it is handed out.",
    "cite": "How to cite it.",
    "url": "Where it is described.",
}


def checked_about(given: object) -> dict[str, str]:
    """The fields of a form, as text. Raises a 422 naming each that is unknown, no text, or too long."""
    if not isinstance(given, Mapping):
        raise Unprocessable("invalid", "about: must be an object", errors={"about": ["must be an object"]})
    errors: dict[str, list[str]] = {}
    for key, text in given.items():
        if key not in ABOUT:
            errors[f"about.{str(key)[:40]}"] = [f"is none of {', '.join(ABOUT)}"]
        elif not isinstance(text, str) or len(text) > LONGEST:
            errors[f"about.{key}"] = [f"must be a text of at most {LONGEST} characters"]
    if errors:
        told = "; ".join(f"{path}: {texts[0]}" for path, texts in errors.items())
        raise Unprocessable("invalid", told, errors=errors)
    return {key: text.strip() for key, text in given.items() if text.strip()}
