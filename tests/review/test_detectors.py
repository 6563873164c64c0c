"""Detectors: what each takes for a sign and what it does not, at its limits."""

import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd.policy import Stage, load_policy
from crowd.policy.codes import FlagCode
from crowd.review import detectors
from crowd.review.detectors import Chosen, Finding, Mix, Overlap
from crowd.review.kappa import kappa_error, quadratic_kappa

POLICY = load_policy().flags
COLOURS = {"white": 0.3, "black": 0.25, "blue": 0.2, "red": 0.15, "green": 0.1}


def drawn(rng: random.Random, n: int, shares: dict[str, float] = COLOURS) -> list[Chosen]:
    labels = rng.choices(list(shares), list(shares.values()), k=n)
    return [Chosen((("top",),), label) for label in labels]


def mix_of(*people: list[Chosen]) -> Mix:
    mix = Mix()
    for chosen in (each for labels in people for each in labels):
        mix.add(chosen)
    return mix


def code(finding: Finding | None) -> FlagCode | None:
    return finding.code if finding else None


def test_one_label_for_all_is_blanket_and_a_drawn_one_is_not() -> None:
    rng = random.Random(1)
    mix = mix_of(drawn(rng, 600))
    same = [Chosen((("top",),), "white")] * 60
    found = detectors.blanket(same, mix, 1.0, POLICY)
    assert found is not None
    assert (found.code, found.evidence["favourite"], found.evidence["share"]) == (
        FlagCode.BLANKET,
        "white",
        1.0,
    )
    assert not any(detectors.blanket(drawn(rng, 60), mix, 1.0, POLICY) for _ in range(200))


def test_fewer_labels_than_policy_wants_say_nothing() -> None:
    mix = mix_of(drawn(random.Random(1), 600))
    same = [Chosen((("top",),), "white")] * (POLICY.blanket_least - 1)
    assert detectors.blanket(same, mix, 1.0, POLICY) is None


def test_somebody_who_was_served_one_kind_only_is_not_blamed_for_saying_so() -> None:
    rng = random.Random(2)
    all_jeans = [Chosen((("bottom",), ("bottom", "jeans shop")), "blue")] * 60
    others = [Chosen((("bottom",), ("bottom", "jeans shop")), "blue")] * 100
    others += [Chosen((("bottom",), ("bottom", "suits")), each.label) for each in drawn(rng, 900)]
    assert detectors.blanket(all_jeans, mix_of(others), 1.0, POLICY) is None
    elsewhere = [Chosen((("bottom",), ("bottom", "suits")), "blue")] * 60
    assert code(detectors.blanket(elsewhere, mix_of(others), 1.0, POLICY)) is FlagCode.BLANKET


def test_where_everybody_differs_from_the_mix_differing_says_less() -> None:
    mix = mix_of(drawn(random.Random(1), 600))
    leaning = [Chosen((("top",),), "white")] * 28 + drawn(random.Random(3), 20)
    assert code(detectors.blanket(leaning, mix, 1.0, POLICY)) is FlagCode.BLANKET
    assert detectors.blanket(leaning, mix, 6.0, POLICY) is None


def test_haste_is_told_by_most_of_the_last_answers() -> None:
    needed = math.ceil(POLICY.fast_last * POLICY.fast_percent / 100)
    slow, quick = [30.0] * 50, [1.0] * needed
    rest = [30.0] * (POLICY.fast_last - needed)
    assert code(detectors.too_fast([*slow, *rest, *quick], 5.0, POLICY)) is FlagCode.TOO_FAST
    assert detectors.too_fast([*slow, *rest, 30.0, *quick[1:]], 5.0, POLICY) is None
    assert detectors.too_fast([*quick, *slow], 5.0, POLICY) is None
    assert detectors.too_fast(quick[:10], 5.0, POLICY) is None


def test_a_few_who_rush_do_not_make_haste_usual() -> None:
    honest, rushing = [[20.0 + n for n in range(20)]] * 9, [[0.5] * 300] * 3
    limit = detectors.fast_limit(Stage.ATTRIBUTES, [*honest, *rushing], POLICY)
    assert 20 < limit < 22
    floor = POLICY.fastest_attributes
    assert detectors.fast_limit(Stage.ATTRIBUTES, rushing * 4, POLICY) == floor
    assert detectors.fast_limit(Stage.ATTRIBUTES, honest[:3], POLICY) == floor


def test_the_same_outline_on_several_images_is_copied_but_not_on_one() -> None:
    own = [(image, f"outline {image}") for image in range(50)]
    times = POLICY.copied_outlines
    assert detectors.copied_outlines([*own, *[(7, "same")] * 9], POLICY) is None
    copied = [(100 + n, "same") for n in range(times)]
    found = detectors.copied_outlines([*own, *copied], POLICY)
    assert found is not None
    assert found.evidence["images"] == [100 + n for n in range(times)]
    assert detectors.copied_outlines([*own, *copied[1:]], POLICY) is None


def test_labels_that_others_give_as_often_are_not_copied() -> None:
    own = [(image, "plain white") for image in range(40)]
    assert code(detectors.copied_labels(own, {"plain white": 3, "other": 500}, POLICY)) is FlagCode.COPIED
    assert detectors.copied_labels(own, {"plain white": 450, "other": 50}, POLICY) is None
    assert detectors.copied_labels(own, {}, POLICY) is None


def test_taking_everything_over_shows_beside_others_who_do_not() -> None:
    peers = [(5, 10), (6, 10), (4, 10), (7, 10), (5, 10), (6, 10)]
    assert code(detectors.taken_over("candidates", (60, 60), peers, POLICY)) is FlagCode.TAKEN_OVER
    assert detectors.taken_over("candidates", (40, 60), peers, POLICY) is None
    eager = [(19, 20)] * 6
    assert detectors.taken_over("candidates", (60, 60), eager, POLICY) is None
    assert detectors.taken_over("candidates", (60, 60), peers[:2], POLICY) is None


def overlaps(pairs: list[tuple[int, float]], *, selected: bool = False) -> list[Overlap]:
    return [Overlap(1, image, score, ref, selected) for image, (score, ref) in enumerate(pairs)]


SPREAD = [(5, 5.0), (4, 4.0), (2, 2.0), (5, 5.0), (1, 1.0), (3, 3.0)] * 6


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (SPREAD, None),
        (SPREAD[:29], None),
        ([(random.Random(n).randint(1, 5), ref) for n, (_, ref) in enumerate(SPREAD)], "unreliable_reviewer"),
        ([(5, ref) for _, ref in SPREAD], "lenient_reviewer"),
        ([(max(1, score - 1), ref) for score, ref in SPREAD], "severe_reviewer"),
    ],
)
def test_a_reviewer_is_told_by_agreement_and_by_leaning(
    pairs: list[tuple[int, float]], expected: str | None
) -> None:
    found = detectors.reviewer(overlaps(pairs), POLICY)
    assert (found.code.value if found else None) == expected


def test_of_images_that_the_reviewer_let_pass_only_leniency_can_be_told() -> None:
    passed = [(5, 4.0), (4, 5.0), (4, 4.0), (5, 5.0)] * 10
    assert code(detectors.reviewer(overlaps(passed), POLICY)) is FlagCode.UNRELIABLE_REVIEWER
    assert detectors.reviewer(overlaps(passed, selected=True), POLICY) is None
    lenient = [(5, 4.0), (4, 3.0), (5, 2.0), (5, 5.0)] * 10
    assert code(detectors.reviewer(overlaps(lenient, selected=True), POLICY)) is FlagCode.LENIENT_REVIEWER


def test_where_one_image_decides_about_agreement_it_speaks_against_nobody() -> None:
    one_missed = [(5, 5.0)] * 18 + [(4, 5.0), (5, 4.0)] * 4 + [(4, 4.0)] * 2 + [(3, 3.0), (5, 2.0)]
    kappa = quadratic_kappa(one_missed)
    assert kappa is not None
    assert kappa < POLICY.least_kappa < kappa + kappa_error(one_missed)
    assert detectors.reviewer(overlaps(one_missed), POLICY) is None
    often = one_missed + [(1, 5.0), (5, 2.0), (3, 5.0), (5, 3.0)] * 6
    assert code(detectors.reviewer(overlaps(often), POLICY)) is FlagCode.UNRELIABLE_REVIEWER


def test_among_good_images_who_differs_on_one_side_only_is_lenient() -> None:
    agreed = [(5, 5.0)] * 24 + [(2, 2.0), (1, 1.0), (3, 3.0)]
    above = [*agreed, *[(5, 4.0)] * 9, (5, 3.0), (5, 3.0)]
    found = detectors.reviewer(overlaps(above), POLICY)
    assert found is not None
    assert found.code is FlagCode.LENIENT_REVIEWER
    assert found.evidence["bias"] < POLICY.most_bias
    assert (found.evidence["higher"], found.evidence["lower"]) == (11, 0)
    both_ways = [*agreed, *[(5, 3.0)] * 10, *[(4, 5.0)] * 6]
    assert detectors.reviewer(overlaps(both_ways), POLICY) is None
    below = [(int(reference), float(score)) for score, reference in above]
    assert detectors.reviewer(overlaps(below), POLICY) is None, "nobody scores above 5, so below is usual"
    assert detectors.reviewer(overlaps(above, selected=True), POLICY) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=3, max_size=30))
def test_the_error_of_kappa_is_how_much_each_pair_moves_it(pairs: list[tuple[int, int]]) -> None:
    left = [quadratic_kappa(pairs[:place] + pairs[place + 1 :]) for place in range(len(pairs))]
    known = [1.0 if each is None else each for each in left]
    n, middle = len(pairs), statistics.fmean(known)
    plain = math.sqrt((n - 1) / n * sum((each - middle) ** 2 for each in known))
    assert kappa_error(pairs) == pytest.approx(plain, abs=1e-6)
    assert kappa_error(pairs[:1]) == math.inf


def test_one_score_for_all_is_a_stamp_where_others_differ_more() -> None:
    peers = [[5, 5, 4, 3, 5, 2, 5, 4, 5, 5] * 4 for _ in range(6)]
    found = detectors.rubber_stamp([5] * 40, peers, POLICY)
    assert found is not None
    assert (found.code, found.evidence["variance"]) == (FlagCode.RUBBER_STAMP, 0.0)
    assert detectors.rubber_stamp([5] * 40, [[5] * 39 + [4] for _ in range(6)], POLICY) is None
    assert detectors.rubber_stamp([5, 5, 4, 5] * 20, peers, POLICY) is None
    assert detectors.rubber_stamp([5] * 40, [], POLICY) is None


def test_how_even_a_stamp_is_and_who_counts_as_fast_is_policy() -> None:
    peers = [[5, 5, 4, 3, 5, 2, 5, 4, 5, 5] * 4 for _ in range(6)]
    nearly = [5] * 91 + [4] * 9
    assert detectors.rubber_stamp(nearly, peers, POLICY) is None
    assert detectors.rubber_stamp(nearly, peers, replace(POLICY, stamp_percent=90)) is not None
    seconds = [[float(each) for each in range(101)] for _ in range(5)]
    assert detectors.fast_limit(Stage.STYLES, seconds, POLICY) == 5.0
    assert detectors.fast_limit(Stage.STYLES, seconds, replace(POLICY, fast_quantile=0.1)) == 10.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    ours = quadratic_kappa(pairs)
    if ours is None:
        assert len({value for pair in pairs for value in pair}) == 1
        return
    xs, ys = zip(*pairs, strict=True)
    theirs = metrics.cohen_kappa_score(xs, ys, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert ours == pytest.approx(theirs)


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.1, 200))
def test_the_tail_of_chi_squared_is_the_exact_one(degrees: int, value: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    exact = stats.chi2.sf(value, degrees)
    assert detectors.chi_squared_tail(value, degrees) == pytest.approx(exact, rel=1e-6, abs=1e-30)


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(1, 80), st.floats(0.01, 0.99))
def test_the_binomial_tail_is_the_exact_one(times: int, n: int, share: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert detectors.binomial_tail(times, n, share) == pytest.approx(
        stats.binom.sf(times - 1, n, share), abs=1e-9
    )
