"""The policy file: the default holds, mistakes are named one by one."""

from pathlib import Path

import pytest

from crowd.policy import Grade, PolicyError, Stage, load_policy


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_says_who_may_sit_where() -> None:
    policy = load_policy()
    assert policy.stages_for(Grade.GENERAL) == (Stage.SEGMENTATION, Stage.ATTRIBUTES)
    assert policy.stages_for(Grade.SEMI_EXPERT) == (Stage.SEGMENTATION, Stage.ATTRIBUTES, Stage.FIRST_REVIEW)
    assert policy.stages_for(Grade.REVIEWER) == (Stage.SEGMENTATION, Stage.ATTRIBUTES, Stage.FIRST_REVIEW)
    assert policy.stages_for(Grade.EXPERT) == (Stage.STYLES, Stage.ADJUDICATION)
    assert policy.stages_for(Grade.INSPECTOR) == (Stage.SECOND_REVIEW, Stage.ADJUDICATION)
    assert policy.stages_for(Grade.TRAINEE) == policy.stages_for(Grade.ADMIN) == ()


def test_an_own_file_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    own = write(tmp_path, "bounce_cap: 5\nstages:\n  styles:\n    grades: [expert, inspector]\n")
    policy = load_policy(own)
    default = load_policy()
    assert policy.bounce_cap == 5
    assert policy.stages[Stage.STYLES].grades == {Grade.EXPERT, Grade.INSPECTOR}
    assert policy.stages[Stage.STYLES].lease_seconds == default.stages[Stage.STYLES].lease_seconds
    assert policy.held_leases == default.held_leases


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    own = write(tmp_path, "reserve_seconds: 60\n")
    policy = load_policy(own, lease_seconds=7, reserve_seconds=0)
    assert {rules.lease_seconds for rules in policy.stages.values()} == {7}
    assert policy.reserve_seconds == 0


def test_every_mistake_is_named(tmp_path: Path) -> None:
    own = write(
        tmp_path,
        "held_leases: 0\nbounce_cap: many\nhold_unknown_rights: 1\nspeed: 3\n"
        "stages:\n  styles: {grades: [wizard], lease_seconds: -1, colour: red}\n  polish: {}\n"
        "  first_review: {grades: [admin]}\n  segmentation: {grades: []}\n",
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(own)
    assert set(caught.value.errors) == {
        "held_leases",
        "bounce_cap",
        "hold_unknown_rights",
        "speed",
        "stages.styles.grades",
        "stages.styles.lease_seconds",
        "stages.styles.colour",
        "stages.polish",
        "stages.first_review.grades",
        "stages.segmentation.grades",
    }


@pytest.mark.parametrize("text", ["- a list", "a: [", "stages: 3"])
def test_what_is_no_policy_is_refused_without_a_traceback(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyError):
        load_policy(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.yaml"):
        load_policy(tmp_path / "nowhere.yaml")
