"""Reading a policy file, with one clear error per mistake."""

from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from crowd.policy.intake import parse_intake
from crowd.policy.model import AuditPolicy, Grade, Policy, Stage, StagePolicy
from crowd.policy.sections import SECTIONS, read_section
from crowd.policy.targets import parse_targets

_MAY_BE_ZERO = {
    "pause_above",
    "reserve_seconds",
    "skip_seconds",
    "withheld_percent",
    "urgent_percent",
    "promotion_margin_percent",
}
# Numbers put aside for each share of gold: an image goes through about eight pairs of hands.
SPARES_PER_SHARE = 8

# From which grade a rule leads to which.
_LADDERS = {"promotions", "demotions"}


class PolicyError(Exception):
    """A policy file that cannot be used; `errors` maps each path to what is wrong with it."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("\n".join(f"{path}: {text}" for path, text in self.errors.items()))


def load_policy(
    path: Path | None = None,
    *,
    lease_seconds: int | None = None,
    reserve_seconds: int | None = None,
    gold_percent: float | None = None,
) -> Policy:
    """The policy in `path` over the default one; the keyword numbers (seconds, percent) win over both.

    Raises PolicyError.
    """
    document = _read(files("crowd.policy").joinpath("default.yaml").read_text(encoding="utf-8"))
    if path is not None:
        try:
            own = _read(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError({str(path): f"cannot be read: {error}"}) from None
        document = _merge(document, own)
    policy = parse_policy(document)
    if lease_seconds is not None:
        policy = replace(
            policy,
            stages={
                stage: replace(rules, lease_seconds=lease_seconds) for stage, rules in policy.stages.items()
            },
        )
    if reserve_seconds is not None:
        policy = replace(policy, reserve_seconds=reserve_seconds)
    if gold_percent is not None:
        gold = replace(
            policy.gold,
            share_percent=gold_percent,
            new_share_percent=gold_percent,
            spare_percent=gold_percent * SPARES_PER_SHARE,
        )
        policy = replace(policy, gold=gold)
    return policy


def parse_policy(document: Mapping[str, Any]) -> Policy:
    """A policy from its complete document. Raises PolicyError naming every mistake."""
    errors: dict[str, str] = {}
    names = {field.name: field.type for field in fields(Policy)}
    errors |= {str(key): "is not a policy field" for key in document if key not in names}
    errors |= {name: "is missing" for name in names if name not in document}
    values: dict[str, Any] = {}
    for name, kind in names.items():
        if name in SECTIONS and name in document:
            values[name] = read_section(name, document[name], errors)
        elif name in _LADDERS and name in document:
            values[name] = _ladder(name, document[name], errors)
        elif name in document and name not in ("stages", "intake", "targets", "audit"):
            values[name] = document[name]
            if text := _wrong(name, kind, document[name]):
                errors[name] = text
    values["stages"] = _stages(document.get("stages"), errors)
    values["intake"] = parse_intake(document.get("intake"), errors)
    values["targets"] = parse_targets(document.get("targets"), errors)
    values["audit"] = _audit(document.get("audit"), errors)
    if text := _cannot_look_again(values):
        errors["probation.grades"] = text
    if errors:
        raise PolicyError(errors)
    return Policy(**values)


def _read(text: str, name: str = "policy") -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError({name: f"is not YAML: {_where(error)}"}) from None
    if not isinstance(document, dict):
        raise PolicyError({name: "must hold a mapping of fields"})
    return document


def _where(error: yaml.YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _wrong(name: str, kind: object, value: object) -> str | None:
    if kind is str:
        return None if isinstance(value, str) and value else "must be text"
    if kind is bool:
        return None if isinstance(value, bool) else "must be true or false"
    least = 0 if name in _MAY_BE_ZERO else 1
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return f"must be a whole number of at least {least}"
    if name.endswith("_percent") and value > 100:
        return "must be a whole number of at most 100"
    return None


def _stages(document: object, errors: dict[str, str]) -> dict[Stage, StagePolicy]:
    if not isinstance(document, dict):
        errors["stages"] = "must hold every stage"
        return {}
    errors |= {f"stages.{key}": "is not a stage" for key in document if key not in set(Stage)}
    stages = {}
    for stage in Stage:
        rules = document.get(stage.value)
        if not isinstance(rules, dict):
            errors[f"stages.{stage}"] = "is missing"
            continue
        stages[stage] = StagePolicy(
            grades=_grades(f"stages.{stage}.grades", rules.get("grades"), errors),
            lease_seconds=rules.get("lease_seconds", 0),
            pause_above=rules.get("pause_above", 0),
        )
        if text := _wrong("pause_above", int, rules.get("pause_above", 0)):
            errors[f"stages.{stage}.pause_above"] = text
        if text := _wrong("lease_seconds", int, rules.get("lease_seconds")):
            errors[f"stages.{stage}.lease_seconds"] = text
        errors |= {
            f"stages.{stage}.{key}": "is not a field of a stage"
            for key in rules
            if key not in {"grades", "lease_seconds", "pause_above"}
        }
    return stages


def _audit(document: object, errors: dict[str, str]) -> AuditPolicy | None:
    if not isinstance(document, dict):
        errors["audit"] = "must hold a mapping of fields"
        return None
    names = [field.name for field in fields(AuditPolicy)]
    errors |= {f"audit.{key}": "is not a field of this section" for key in document if key not in names}
    errors |= {f"audit.{name}": "is missing" for name in names if name not in document}
    grades = _grades("audit.grades", document.get("grades"), errors)
    required, allowed = document.get("required"), document.get("allowed_wrong")
    if not isinstance(required, bool):
        errors["audit.required"] = "must be true or false"
    if isinstance(allowed, bool) or not isinstance(allowed, int) or allowed < 0:
        errors["audit.allowed_wrong"] = "must be a whole number of at least 0"
    for name, low, high in (("confidence", 0.5, 1), ("tolerable_rate", 0, 0.5)):
        share = document.get(name)
        if isinstance(share, bool) or not isinstance(share, int | float) or not low < share < high:
            errors[f"audit.{name}"] = f"must lie between {low} and {high}"
    values: dict[str, Any] = {name: document.get(name) for name in names}
    return AuditPolicy(**(values | {"grades": grades}))


def _cannot_look_again(values: Mapping[str, Any]) -> str | None:
    """What is wrong with who judges a new reviewer's images again: the seat is that of an adjudication."""
    probation, rules = values.get("probation"), values["stages"].get(Stage.ADJUDICATION)
    if probation is None or rules is None or not isinstance(probation.grades, frozenset):
        return None
    barred = sorted(str(name) for name in probation.grades if name not in rules.grades)
    return f"cannot adjudicate: {', '.join(barred)}" if barred else None


def _grades(path: str, names: object, errors: dict[str, str]) -> frozenset[Grade]:
    if not isinstance(names, list) or not names:
        errors[path] = "must name at least one grade"
        return frozenset()
    unknown = [name for name in names if name not in set(Grade)]
    if unknown:
        errors[path] = f"unknown grade: {', '.join(map(str, unknown))}"
    elif Grade.ADMIN in names:
        errors[path] = "admin steers and labels nothing"
    return frozenset(Grade(name) for name in names if name in set(Grade))


def _ladder(name: str, document: object, errors: dict[str, str]) -> dict[Grade, Grade]:
    if not isinstance(document, dict):
        errors[name] = "must hold a mapping of grades"
        return {}
    rungs = {}
    for old, new in document.items():
        named = {each for each in (old, new) if each in set(Grade)}
        if named != {old, new} or old == new:
            errors[f"{name}.{old}"] = "must lead from one grade to another"
        elif Grade.ADMIN in named:
            errors[f"{name}.{old}"] = "no rule makes or unmakes an admin"
        else:
            rungs[Grade(old)] = Grade(new)
    return rungs
