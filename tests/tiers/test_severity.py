"""The fit of reviewers' severity, and agreement with the experts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from crowd.policy import load_policy
from crowd.tiers.severity import Comparison, Pair, fit, fit_biases, kappa, trust

NUMBERS = load_policy().quality

scores = st.integers(1, 5)


def compared(pairs: list[tuple[int, int]]) -> Comparison:
    comparison = Comparison()
    for own, experts in pairs:
        comparison = comparison.plus(own, experts)
    return comparison


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    found = kappa(compared(pairs))
    own, experts = zip(*pairs, strict=True)
    if found is None:
        assert set(own) == set(experts)
        assert len(set(own)) == 1
        return
    assert found == pytest.approx(cohen_kappa_score(own, experts, weights="quadratic", labels=range(1, 6)))


def test_experts_may_stand_between_two_points() -> None:
    halves = Comparison().plus(4, 4.5).plus(2, 1.5).plus(5, 4.5)
    # In half points: 8 9, 4 3, 10 9. Mean squared difference 1; means 22/3 and 7, variances 56/9 and 8.
    assert kappa(halves) == pytest.approx(1 - 1 / (56 / 9 + 8 + (22 / 3 - 7) ** 2))


def test_of_whom_nothing_is_known_the_prior_tells() -> None:
    assert trust(None, NUMBERS) == pytest.approx(0.36)
    assert trust(Comparison(), NUMBERS) == pytest.approx(0.36)


def test_who_answers_at_random_weighs_next_to_nothing() -> None:
    rng = random.Random(1)
    noise = compared([(rng.randint(1, 5), rng.randint(1, 5)) for _ in range(300)])
    careful = compared([(score, score) for _ in range(60) for score in range(1, 6)])
    assert trust(noise, NUMBERS) < 0.05
    assert trust(careful, NUMBERS) > 0.9


def test_who_contradicts_the_experts_weighs_nothing() -> None:
    assert trust(compared([(score, 6 - score) for _ in range(60) for score in range(1, 6)]), NUMBERS) == 0.0


def reviews(seed: int, biases: dict[int, float], authors: int = 60, each: int = 10) -> list[Pair]:
    rng = random.Random(seed)
    good = [rng.gauss(4.0, 0.3) for _ in range(authors)]
    found = []
    for author in range(authors):
        for reviewer, bias in biases.items():
            given_ = [
                min(max(round(good[author] + bias + rng.gauss(0, 0.6)), 1), 5)
                for _ in range(rng.randint(1, each))
            ]
            found.append(Pair((author, 1), reviewer, len(given_), sum(given_)))
    return found


def test_the_fit_finds_who_is_severe_and_who_is_lenient() -> None:
    biases = {1: -0.8, 2: 0.0, 3: 0.0, 4: 0.6}
    found = fit_biases(reviews(3, biases), dict.fromkeys(biases, 0.5), NUMBERS)
    assert found[1] < -0.5
    assert found[4] > 0.2
    assert found[1] < min(found[2], found[3]) < found[4]
    assert found[2] - found[1] == pytest.approx(0.8, abs=0.25)


@given(st.randoms(use_true_random=False))
def test_the_fit_comes_out_the_same_in_whatever_order_the_rows_come(rng: random.Random) -> None:
    pairs = reviews(5, {1: -0.5, 2: 0.3}, authors=8)
    shuffled = pairs[:]
    rng.shuffle(shuffled)
    comparisons = {1: compared([(4, 5), (2, 2), (3, 4)])}
    assert fit(shuffled, comparisons, NUMBERS) == fit(pairs, comparisons, NUMBERS)


def test_few_reviews_hardly_move_a_reviewer() -> None:
    pairs = [*reviews(7, {1: 0.0, 2: 0.0}), Pair((0, 1), 3, 2, 2)]
    found = fit(pairs, {}, NUMBERS)
    assert -0.3 < found[3].bias < 0.0
    assert found[3].reviews == 2


def test_no_reviews_are_no_fit() -> None:
    assert fit([], {}, NUMBERS) == {}
