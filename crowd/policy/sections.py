"""Sections of the policy: a group of numbers of its own, as one dataclass each. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

Names: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class FlagPolicy:
    """When answers raise a flag; `default.yaml` says what each number means."""

    confirming_suspends: bool
    every_seconds: int
    one_in: int
    blanket_least: int
    blanket_most: int
    blanket_excess_percent: int
    fast_last: int
    fast_percent: int
    fast_quantile: float
    fastest_segmentation: float
    fastest_attributes: float
    fastest_styles: float
    fastest_first_review: float
    fastest_second_review: float
    fastest_adjudication: float
    copied_last: int
    copied_outlines: int
    copied_percent: int
    taken_least: int
    taken_margin_percent: int
    overlap_least: int
    overlap_most: int
    overlap_seats: int
    least_kappa: float
    kappa_errors: float
    most_bias: float
    one_sided_bias: float
    one_sided_in: int
    stamp_least: int
    stamp_most: int
    stamp_percent: int


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """How a score comes about and what it leads to; `default.yaml` says what each number means."""

    prior_good: float
    prior_bad: float
    half_life: float
    lower_quantile: float
    upper_quantile: float
    pre_check_weight: float
    reviews_sharing: int
    author_ridge: float
    reviewer_ridge: float
    sweeps: int
    kappa_prior: float
    kappa_prior_n: float
    promote_above: float
    demote_below: float
    least_judged: int
    cool_down_days: float
    excellent_above: float
    excellent_judged: int
    excellent_needs_exam: bool
    gold_window: int
    gold_least: int
    gold_floor: float


@dataclass(frozen=True, slots=True)
class ExpertPolicy:
    """Whom hard styles are kept for; `default.yaml` says what each number means."""

    reserve_seconds: int
    best_percent: int
    at_work_seconds: int
    most_waiting: int
    sure_percent: int
    alike: int


@dataclass(frozen=True, slots=True)
class GoldPolicy:
    """How much gold is hidden, and what an exam asks; `default.yaml` says what each number means."""

    share_percent: float
    new_share_percent: float
    new_answers: int
    spare_percent: float
    from_adjudicated: bool
    bad_percent: float
    pass_mark: float
    half_right: float
    suspicious_after: int
    worn_percent: float
    practice_daily: int
    practice_least: int
    practice_percent: float
    exam_items: int
    second_exam_items: int
    exam_pass_mark: float
    exam_tries: int
    exam_wait_hours: float
    exam_practice: int
    exam_mix_percent: float


@dataclass(frozen=True, slots=True)
class AppealPolicy:
    """How long and how often people may appeal; `default.yaml` says what each number means."""

    days: int
    open_most: int


@dataclass(frozen=True, slots=True)
class ProbationPolicy:
    """Whose first reviews are judged a second time, by whom; `default.yaml` says what each means."""

    reviews: int
    later_percent: float
    idle_hours: float
    wait_hours: float
    open_most: int
    grades: Names


@dataclass(frozen=True, slots=True)
class RefresherPolicy:
    """Who is offered practice again; `default.yaml` says what each number means."""

    items: int
    recent: int
    earlier: int
    margin: float
    gold_bar: float
    rest_days: float


@dataclass(frozen=True, slots=True)
class ExamplePolicy:
    """How many example pictures there are; `default.yaml` says what each number means."""

    of_a_value: int


SECTIONS: dict[str, type[Any]] = {
    "flags": FlagPolicy,
    "experts": ExpertPolicy,
    "quality": QualityPolicy,
    "gold": GoldPolicy,
    "appeals": AppealPolicy,
    "probation": ProbationPolicy,
    "refreshers": RefresherPolicy,
    "examples": ExamplePolicy,
}

_SHARES_OF_ONE = {
    "pre_check_weight",
    "kappa_prior",
    "promote_above",
    "demote_below",
    "excellent_above",
    "gold_floor",
}
_ABOVE_ZERO = {
    "prior_good",
    "prior_bad",
    "half_life",
    "reviews_sharing",
    "author_ridge",
    "reviewer_ridge",
    "sweeps",
    "kappa_prior_n",
    "gold_window",
    "gold_least",
}


_AT_LEAST_ONE = {
    "of_a_value",
    "days",
    "open_most",
    "recent",
    "earlier",
    "every_seconds",
    "one_in",
    "fast_last",
    "overlap_least",
    "stamp_least",
    "alike",
}


def read_section(name: str, document: object, errors: dict[str, str]) -> Any:
    """The section `name` from its complete document; every mistake goes into `errors` by its path."""
    kind = SECTIONS[name]
    if not isinstance(document, Mapping):
        errors[name] = "must hold a mapping of fields"
        return None
    known = {field.name: field.type for field in fields(kind)}
    errors |= {f"{name}.{key}": "is not a field of this section" for key in document if key not in known}
    errors |= {f"{name}.{key}": "is missing" for key in known if key not in document}
    values = {key: document.get(key) for key in known}
    for key, value in values.items():
        if key in document and (text := _wrong(known[key], value) or _out_of_range(name, key, value)):
            errors[f"{name}.{key}"] = text
    values |= {key: frozenset(value) for key, value in values.items() if isinstance(value, list)}
    return kind(**values)


def _wrong(kind: object, value: object) -> str | None:
    if kind is Names:
        is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
        return None if is_list else "must name at least one"
    if kind is bool:
        return None if isinstance(value, bool) else "must be true or false"
    allowed = (int, float) if kind is float else int
    if isinstance(value, bool) or not isinstance(value, allowed) or not 0 <= value <= 10**9:
        return f"must be a {'number' if kind is float else 'whole number'} of at least 0"
    return None


def _out_of_range(name: str, key: str, value: Any) -> str | None:
    if key.endswith("_percent") and value > 100:
        return "must be at most 100"
    if key.endswith("_quantile") and not 0 < value < 1:
        return "must lie between 0 and 1"
    if key in _AT_LEAST_ONE and value < 1:
        return "must be at least 1"
    if name == "gold":
        return _out_of_gold(key, value)
    if name != "quality":
        return None
    if key in _SHARES_OF_ONE and value > 1:
        return "must be at most 1"
    if key in _ABOVE_ZERO and value <= 0:
        return "must be more than 0"
    return None


def _out_of_gold(key: str, value: Any) -> str | None:
    if key.endswith("share_percent") and value > 100:
        return "must be at most 100"
    if key.endswith(("pass_mark", "half_right")) and value > 1:
        return "must be at most 1"
    if key == "exam_mix_percent" and value > 50:
        return "must be at most 50: good and bad share the questions"
    if key in ("exam_items", "second_exam_items", "exam_tries", "practice_daily") and value == 0:
        return "must be more than 0"
    return None
