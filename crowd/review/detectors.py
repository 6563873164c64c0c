"""What speaks against a person's answers: blanket labels, haste, copies, reviewers who do not look. PURE.

Each detector is told the person's latest answers and what others gave, and returns a Finding or None. What
comes of a finding is decided by an admin: nothing here knows people, flags or a database.
"""

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from crowd.policy import Stage
from crowd.policy.codes import FlagCode
from crowd.policy.sections import FlagPolicy
from crowd.review.kappa import kappa_error, quadratic_kappa

# What was to be labelled, as far as others know it: coarse first, e.g. (part,) and (part, supplier).
Context: TypeAlias = Hashable
Label: TypeAlias = str

# So many labels of a coarser context count beside those of a finer one.
SHRINKAGE = 20.0
# The G-test's distribution holds for cells that are not expected empty.
LEAST_EXPECTED = 1.0
# Fewer people than these say nothing about what people do.
LEAST_PEERS = 5
# Answers of a person from which a quantile of theirs can be told.
LEAST_TIMED = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that speaks against a person, with the numbers behind it."""

    code: FlagCode
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A label that was given, and the contexts of what it was given for, the coarsest first."""

    contexts: tuple[Context, ...]
    label: Label


@dataclass
class Mix:
    """What others gave, by context."""

    counts: dict[Context, Counter[Label]] = field(default_factory=dict)

    def add(self, chosen: Chosen) -> None:
        """Count one more label."""
        for context in chosen.contexts:
            self.counts.setdefault(context, Counter())[chosen.label] += 1

    def without(self, own: Iterable[Chosen]) -> "Mix":
        """The mix that the others make: everybody's but these labels, which were counted before."""
        counts = dict(self.counts)
        taken: dict[Context, Counter[Label]] = {}
        for chosen in own:
            for context in chosen.contexts:
                taken.setdefault(context, Counter())[chosen.label] += 1
        for context, labels in taken.items():
            counts[context] = counts[context] - labels
        return Mix(counts)

    def shares(self, contexts: Sequence[Context]) -> dict[Label, float]:
        """How often each label is to be expected; finer contexts as far as enough is known of them."""
        shares: dict[Label, float] = {}
        for context in contexts:
            here = self.counts.get(context, Counter())
            weight = SHRINKAGE if shares else 0.0
            total = sum(here.values()) + weight
            if total:
                labels = shares.keys() | here.keys()
                shares = {each: (here[each] + weight * shares.get(each, 0.0)) / total for each in labels}
        return shares


@dataclass(frozen=True, slots=True)
class Fit:
    """How labels lie beside what was to be expected: G over `degrees`, and the favourite's shares."""

    n: int
    g: float
    degrees: int
    favourite: Label
    share: float
    expected: float

    @property
    def excess(self) -> float:
        """By how much the favourite's share lies above what was to be expected."""
        return self.share - self.expected


def fit(own: Sequence[Chosen], mix: Mix) -> Fit | None:
    """The G statistic of labels against the mix of what was served; None where there is nothing to tell."""
    expected: dict[Label, float] = {}
    known: dict[tuple[Context, ...], dict[Label, float]] = {}
    for chosen in own:
        if chosen.contexts not in known:
            known[chosen.contexts] = mix.shares(chosen.contexts)
        for label, share in known[chosen.contexts].items():
            expected[label] = expected.get(label, 0.0) + share
    observed = Counter(chosen.label for chosen in own)
    cells = _pooled(observed, expected)
    if len(cells) < 2:
        return None
    g = 2 * sum(seen * math.log(seen / due) for seen, due in cells if seen)
    n = len(own)
    favourite = max(observed, key=lambda label: observed[label] - expected.get(label, 0.0))
    return Fit(n, g, len(cells) - 1, favourite, observed[favourite] / n, expected.get(favourite, 0.0) / n)


def _pooled(observed: Mapping[Label, int], expected: Mapping[Label, float]) -> list[tuple[int, float]]:
    """(seen, expected) of every label; those hardly expected are one cell together."""
    cells, rare_seen, rare_due = [], 0, 0.0
    for label in observed.keys() | expected.keys():
        seen, due = observed.get(label, 0), expected.get(label, 0.0)
        if due < LEAST_EXPECTED:
            rare_seen, rare_due = rare_seen + seen, rare_due + due
        else:
            cells.append((seen, due))
    if rare_seen or rare_due:
        cells.append((rare_seen, max(rare_due, 0.5)))
    return cells


def dispersion(fits: Sequence[Fit]) -> float:
    """By how much people's labels differ from the mix more than chance has them; at least 1.

    The median over people: things are served in series, and everybody's view of a label is a little their
    own. The few who do not look hardly move it.
    """
    if len(fits) < LEAST_PEERS:
        return 1.0
    return max(1.0, statistics.median(each.g / each.degrees for each in fits))


def blanket(own: Sequence[Chosen], mix: Mix, spread: float, policy: FlagPolicy) -> Finding | None:
    """One label for all that was served. `mix` is others'; `spread`: see `dispersion`."""
    window = own[-policy.blanket_most :]
    if len(window) < policy.blanket_least:
        return None
    found = fit(window, mix)
    if found is None or found.excess * 100 < policy.blanket_excess_percent:
        return None
    chance = chi_squared_tail(found.g / spread, found.degrees)
    if chance * policy.one_in >= 1:
        return None
    evidence = {
        "n": found.n,
        "favourite": found.favourite,
        "share": round(found.share, 3),
        "expected": round(found.expected, 3),
        "g": round(found.g, 1),
        "degrees": found.degrees,
        "spread": round(spread, 2),
        "chance": _short(chance),
    }
    return Finding(FlagCode.BLANKET, evidence)


def fast_limit(stage: Stage, peers: Sequence[Sequence[float]], policy: FlagPolicy) -> float:
    """The seconds below which an answer at `stage` is too fast.

    The greater of the hard floor and the people's 5th percentile: everybody's own first, then the median of
    those, so that the few who rush do not make haste look usual. `peers`: seconds of each person's answers.
    """
    floor: float = getattr(policy, f"fastest_{stage}")
    own = [_quantile(seconds, policy.fast_quantile) for seconds in peers if len(seconds) >= LEAST_TIMED]
    return max(floor, statistics.median(own)) if len(own) >= LEAST_PEERS else floor


def too_fast(seconds: Sequence[float], limit: float, policy: FlagPolicy) -> Finding | None:
    """Most of the latest answers took less than `limit` seconds."""
    window = seconds[-policy.fast_last :]
    below = sum(each < limit for each in window)
    if len(window) < policy.fast_last or below * 100 < policy.fast_percent * len(window):
        return None
    evidence = {
        "n": len(window),
        "below": below,
        "limit_seconds": round(limit, 2),
        "median_seconds": round(statistics.median(window), 2),
    }
    return Finding(FlagCode.TOO_FAST, evidence)


def copied_outlines(own: Sequence[tuple[int, str]], policy: FlagPolicy) -> Finding | None:
    """The very same outline on different images. `own`: image and outline, oldest first.

    No two photographs show a garment at the same pixels, so there is nothing to compare with.
    """
    images: dict[str, set[int]] = {}
    for image_id, outline in own:
        images.setdefault(outline, set()).add(image_id)
    most = max(images.values(), key=len, default=set())
    if len(most) < max(2, policy.copied_outlines):
        return None
    n = len({image_id for image_id, _ in own})
    return Finding(
        FlagCode.COPIED, {"what": "outline", "n": n, "times": len(most), "images": sorted(most)[:20]}
    )


def copied_labels(
    own: Sequence[tuple[int, str]], peers: Mapping[str, int], policy: FlagPolicy
) -> Finding | None:
    """The same set of labels on most images. `own`: image and labels; `peers`: how often others gave each."""
    if len(own) < policy.taken_least:
        return None
    labels, times = Counter(each for _, each in own).most_common(1)[0]
    total = sum(peers.values())
    # Others' share, as large as so few of them let it be.
    share = (peers.get(labels, 0) + 1) / (total + 1) if total else 1.0
    chance = binomial_tail(times, len(own), min(1.0, 2 * share))
    if times * 100 < policy.copied_percent * len(own) or chance * policy.one_in >= 1:
        return None
    images = sorted({image_id for image_id, each in own if each == labels})
    evidence = {
        "what": "labels",
        "n": len(own),
        "times": times,
        "others": round(share, 4),
        "chance": _short(chance),
        "images": images[:20],
    }
    return Finding(FlagCode.COPIED, evidence)


def taken_over(
    what: str, own: tuple[int, int], peers: Sequence[tuple[int, int]], policy: FlagPolicy
) -> Finding | None:
    """What was handed out came back unchanged far more often than others do it.

    `own`, `peers`: how many came back unchanged, of how many; `what` was handed out: candidates or rework.
    """
    unchanged, n = own
    shares = [(same + 1) / (of + 2) for same, of in peers if of >= LEAST_TIMED]
    if n < policy.taken_least or len(shares) < LEAST_PEERS:
        return None
    # People differ: what nine of ten of them stay below is still usual.
    usual, high = statistics.median(shares), _quantile(shares, 0.9)
    chance = binomial_tail(unchanged, n, high)
    if (unchanged / n - usual) * 100 < policy.taken_margin_percent or chance * policy.one_in >= 1:
        return None
    evidence = {
        "what": what,
        "n": n,
        "unchanged": unchanged,
        "usual": round(usual, 3),
        "high": round(high, 3),
        "chance": _short(chance),
    }
    return Finding(FlagCode.TAKEN_OVER, evidence)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A reviewer's score of an image beside the experts' median of the same labels.

    `selected`: the comparison exists only because the reviewer let the image pass.
    """

    reviewer_id: int
    image_id: int
    score: int
    reference: float
    selected: bool = False


def reviewer(overlaps: Sequence[Overlap], policy: FlagPolicy) -> Finding | None:
    """One reviewer's overlaps, oldest first: scores that say nothing, or lie too high or too low.

    Of `selected` overlaps only great leniency can be told: their scores are 4 and 5 by themselves, so that
    kappa is low for everybody, and the reference can hardly lie above them.

    A kappa is as sure as its overlaps make it: where nearly all images are good, a few that are not decide
    it, and one more person's noise with them. So it speaks against somebody when even so many standard
    errors above it are too little. Who is lenient shows there as well by where scores differ at all: theirs
    is the higher one nearly always.
    """
    window = overlaps[-policy.overlap_most :]
    if len(window) < policy.overlap_least:
        return None
    pairs = [(each.score, each.reference) for each in window]
    selected = any(each.selected for each in window)
    kappa = None if selected else quadratic_kappa(pairs)
    bias = statistics.fmean(score - reference for score, reference in pairs)
    evidence = {
        "n": len(pairs),
        "kappa": None if kappa is None else round(kappa, 3),
        "bias": round(bias, 3),
        "images": [each.image_id for each in window[-20:]],
    }
    if bias > policy.most_bias:
        return Finding(FlagCode.LENIENT_REVIEWER, evidence)
    if bias < -policy.most_bias and not selected:
        return Finding(FlagCode.SEVERE_REVIEWER, evidence)
    if not selected and bias > policy.one_sided_bias:
        higher = sum(score > reference for score, reference in pairs)
        lower = sum(score < reference for score, reference in pairs)
        chance = binomial_tail(higher, higher + lower, 0.5)
        if chance * policy.one_sided_in < 1:
            told = {"higher": higher, "lower": lower, "chance": _short(chance)}
            return Finding(FlagCode.LENIENT_REVIEWER, evidence | told)
    if kappa is not None and kappa < policy.least_kappa:
        at_most = kappa + policy.kappa_errors * kappa_error(pairs)
        if at_most < policy.least_kappa:
            return Finding(FlagCode.UNRELIABLE_REVIEWER, evidence | {"kappa_at_most": round(at_most, 3)})
    return None


def rubber_stamp(scores: Sequence[int], peers: Sequence[Sequence[int]], policy: FlagPolicy) -> Finding | None:
    """Practically one score for all, where others' differ more. `peers`: each other reviewer's scores."""
    window = scores[-policy.stamp_most :]
    others = [each for each in peers if len(each) >= LEAST_TIMED]
    if len(window) < policy.stamp_least or not others:
        return None
    favourite, times = Counter(window).most_common(1)[0]
    shares = [(each.count(favourite) + 1) / (len(each) + 2) for each in others]
    usual = statistics.median(shares)
    high = max(usual, _quantile(shares, 0.9)) if len(shares) >= LEAST_PEERS else max(shares)
    chance = binomial_tail(times, len(window), high)
    variance = statistics.pvariance(window)
    if times * 100 < policy.stamp_percent * len(window) or chance * policy.one_in >= 1:
        return None
    evidence = {
        "n": len(window),
        "score": favourite,
        "times": times,
        "variance": round(variance, 3),
        "usual": round(usual, 3),
        "chance": _short(chance),
    }
    return Finding(FlagCode.RUBBER_STAMP, evidence)


def chi_squared_tail(value: float, degrees: int) -> float:
    """How often chance alone exceeds `value`; for whole degrees of freedom the integral is a finite sum."""
    if value <= 0:
        return 1.0
    odd = degrees % 2
    tail = math.erfc(math.sqrt(value / 2)) if odd else 0.0
    term = math.exp(-value / 2) * (math.sqrt(2 * value / math.pi) if odd else 1.0)
    for place in range(1 + odd, degrees, 2):
        tail += term
        term *= value / (place + 1)
    return min(1.0, tail)


def binomial_tail(times: int, n: int, share: float) -> float:
    """How often `n` draws of `share` each give `times` or more."""
    if times <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(times, n + 1)
    ]
    return min(1.0, math.fsum(math.exp(each) for each in logs))


def _quantile(values: Sequence[float], q: float) -> float:
    """The value at place `q` (0 to 1) of the sorted ones, between two neighbours in proportion."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _short(chance: float) -> float:
    """A probability that fits on a line."""
    return float(f"{chance:.2g}")
