"""κ, AC1, α and MASI against published examples and scikit-learn."""

import random
from collections import Counter

import pytest

from crowd.review import agreement

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
OBSERVERS = (
    "123321412...",
    "1233224125.3",
    ".33323422 51.".replace(" ", ""),
    "1233244125 1.".replace(" ", ""),
)
UNITS = [[int(row[place]) for row in OBSERVERS if row[place] != "."] for place in range(12)]


def test_krippendorffs_own_example_gives_his_figures() -> None:
    cells = agreement.coincidences([unit for unit in UNITS if len(unit) > 1])
    assert sum(cells.values()) == pytest.approx(40)
    assert agreement.alpha(cells) == pytest.approx(0.743, abs=0.0005)
    assert agreement.alpha(cells, agreement.ordinal(cells)) == pytest.approx(0.815, abs=0.0005)
    assert agreement.alpha(cells, agreement.quadratic) == pytest.approx(0.849, abs=0.0005)


def test_gwets_own_example_shows_kappas_paradox() -> None:
    # Gwet, "Kappa Statistic is not Satisfactory for Assessing the Extent of Agreement" (2002), table 2.
    cells = {("+", "+"): 118.0, ("+", "-"): 5.0, ("-", "+"): 2.0}
    assert agreement.share_equal(cells) == pytest.approx(0.944, abs=0.0005)
    assert agreement.kappa(cells) == pytest.approx(-0.0234, abs=0.0001)
    assert agreement.ac1(cells) == pytest.approx(0.9408, abs=0.0001)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    chance = random.Random(seed)
    left = [chance.randint(1, 5) for _ in range(200)]
    right = [min(5, max(1, each + chance.choice((-1, 0, 0, 0, 1)))) for each in left]
    cells = Counter(zip(left, right, strict=True))
    assert agreement.kappa(cells) == pytest.approx(metrics.cohen_kappa_score(left, right))
    weighted = metrics.cohen_kappa_score(left, right, weights="quadratic")
    assert agreement.kappa(cells, agreement.quadratic) == pytest.approx(weighted)


def test_masi_weighs_how_sets_lie() -> None:
    def distance(a: str, b: str) -> float:
        return agreement.masi(frozenset(a), frozenset(b))

    assert distance("ab", "ba") == 0
    assert distance("ab", "cd") == 1
    # Half of the four in common, one set inside the other: 1 - 1/2 x 2/3.
    assert distance("ab", "abcd") == pytest.approx(2 / 3)
    # A third in common, crossing: 1 - 1/3 x 1/3.
    assert distance("ab", "bc") == pytest.approx(8 / 9)
    assert distance("", "") == 0


def test_what_cannot_be_said_is_none() -> None:
    assert agreement.kappa({}) is None
    assert agreement.kappa({(5, 5): 10.0}, agreement.quadratic) is None
    assert agreement.alpha({}) is None
    assert agreement.ac1({("a", "a"): 3.0}) is None
    assert agreement.share_equal({}) is None


def test_agreement_by_chance_is_no_agreement() -> None:
    chance = random.Random(1)
    pairs = [(chance.randint(1, 5), chance.randint(1, 5)) for _ in range(20_000)]
    cells = agreement.coincidences(pairs)
    assert agreement.alpha(cells, agreement.ordinal(cells)) == pytest.approx(0, abs=0.02)
    assert agreement.kappa(Counter(pairs), agreement.quadratic) == pytest.approx(0, abs=0.02)
