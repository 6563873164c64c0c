"""What a bot may answer with, as the API's GET /taxonomy tells it. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from crowd.policy import Stage


@dataclass(frozen=True, slots=True)
class Question:
    """One attribute: its key, whether it takes a list, and its values by part."""

    key: str
    multiple: bool
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Parts, questions, styles, and the reason codes that can concern each stage, all in the file's order."""

    parts: tuple[str, ...]
    questions: tuple[Question, ...]
    styles: tuple[str, ...]
    reasons: Mapping[Stage, tuple[str, ...]]
    unusable: tuple[str, ...]

    @classmethod
    def read(cls, taxonomy: Mapping[str, Any]) -> Self:
        """The vocabulary of a GET /taxonomy body."""
        return cls(
            parts=_keys(taxonomy["parts"]),
            questions=tuple(_question(attribute) for attribute in taxonomy["attributes"]),
            styles=_keys(taxonomy["styles"]),
            reasons={stage: _reasons(taxonomy["reasons"], stage) for stage in Stage},
            unusable=tuple(entry["code"] for entry in _offered(taxonomy["unusable"])),
        )

    def questions_for(self, part: str) -> tuple[Question, ...]:
        """The questions asked of a region of this part."""
        return tuple(question for question in self.questions if question.values.get(part))

    def reason(self, wanted: str, stage: Stage) -> str:
        """The code `wanted` if it is known, else one that can concern `stage`."""
        known = self.reasons[stage]
        if wanted in known or not known:
            return wanted
        return "wrong_entry" if "wrong_entry" in known else known[0]


def _keys(entries: list[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry["key"] for entry in _offered(entries))


def _question(attribute: Mapping[str, Any]) -> Question:
    values = {part: tuple(keys) for part, keys in attribute["values_by_part"].items()}
    return Question(attribute["key"], attribute["multiple"], values)


def _reasons(entries: list[Mapping[str, Any]], stage: Stage) -> tuple[str, ...]:
    return tuple(entry["code"] for entry in _offered(entries) if stage in entry["stages"])


def _offered(entries: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if not entry.get("retired")]
