"""Votes about styles: majorities, and when weighed ones are sure enough."""

from dataclasses import replace

import pytest

from crowd.policy import Policy, Stage, load_policy
from crowd.tasks.flow import Outcome
from crowd.tasks.rules import Answer, Case, Judgement, StyleRules
from crowd.tasks.votes import likeliest, majority
from crowd.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()


def judged(policy: Policy, votes: list[str], aims: list[float]) -> Judgement:
    answers = [
        Answer(who, Stage.STYLES, {"styles": [style], "unsure": who == 0}) for who, style in enumerate(votes)
    ]
    known = dict(enumerate(aims))
    case = Case(Stage.STYLES, None, 9, 9, TAXONOMY, policy, {}, peers=answers[:-1], aims=known)
    return StyleRules().judge(answers[-1], case)


def weighing(percent: int = 95) -> Policy:
    policy = load_policy()
    return replace(policy, experts=replace(policy.experts, sure_percent=percent))


def test_a_majority_is_more_than_half() -> None:
    assert majority(["a", "b", "a"]) == "a"
    assert majority(["a", "b", "a", "b"]) is None


def test_the_likeliest_style_weighs_each_vote_by_its_experts_aim() -> None:
    assert likeliest(["a", "b"], [0.6, 0.95], 3)[0] == "b"
    style, chance = likeliest(["a"], [0.7], 3)
    assert style == "a"
    assert chance == pytest.approx(0.7)
    style, chance = likeliest(["a", "a"], [0.7, 0.7], 3)
    assert chance == pytest.approx(0.49 / (0.49 + 3 * 0.01))


def test_two_good_experts_settle_where_policy_weighs_votes_and_not_by_default() -> None:
    votes, aims = ["resort", "resort"], [0.85, 0.85]
    assert judged(load_policy(), votes, aims).outcome is Outcome.UNSETTLED
    settled = judged(weighing(), votes, aims)
    assert (settled.outcome, settled.settled, settled.label["styles"]) == (Outcome.LABELLED, True, ["resort"])
    assert judged(weighing(), votes, [0.6, 0.6]).outcome is Outcome.UNSETTLED
    assert judged(weighing(), ["resort", "punk"], aims).outcome is Outcome.UNSETTLED


def test_an_unsure_expert_alone_never_settles() -> None:
    assert judged(weighing(50), ["resort"], [0.99]).outcome is Outcome.UNSETTLED


def test_a_majority_of_three_settles_whatever_the_weights_say() -> None:
    settled = judged(weighing(), ["resort", "punk", "resort"], [0.4, 0.6, 0.4])
    assert settled.label["styles"][0] == "resort"
