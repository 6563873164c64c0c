"""Evidence and the scores it adds up to, in memory: the product's arithmetic without its database."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crowd.policy import Policy, Stage
from crowd.tiers import severity
from crowd.tiers.score import Evidence, Judge, Kind, Score, fold, item_of, step
from crowd.tiers.severity import Comparison, Pair

Key = tuple[int, Stage]

_PLACES = {stage: place for place, stage in enumerate(Stage)}


@dataclass(slots=True)
class ScoreBook:
    """What the service would keep about people's answers: evidence, scores, the newest fit of severity."""

    policy: Policy
    evidence: dict[Key, list[Evidence]] = field(default_factory=lambda: defaultdict(list))
    scores: dict[Key, Score] = field(default_factory=dict)
    judges: dict[int, Judge] = field(default_factory=dict)
    pairs: dict[tuple[tuple[int, int], int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    comparisons: dict[int, Comparison] = field(default_factory=dict)

    def record(self, found: Sequence[Evidence]) -> None:
        """As crowd.tiers.evidence.record."""
        unknown = severity.unknown_judge(self.policy.quality)
        for each in found:
            key = (each.worker_id, each.stage)
            self.evidence[key].append(each)
            self._note_judge(each)
            judge = None if each.judge_id is None else self.judges.get(each.judge_id, unknown)
            self.scores[key] = step(self.scores.get(key, Score()), item_of(each, judge), self.policy.quality)

    def refit(self) -> None:
        """As crowd.tiers.rebuild.refit."""
        pairs = [Pair(author, judge, *sums) for (author, judge), sums in self.pairs.items()]
        found = severity.fit(pairs, self.comparisons, self.policy.quality)
        self.judges = {one: Judge(each.bias, each.weight) for one, each in found.items()}
        self.refold(self.judges)

    def refold(self, judges: Mapping[int, Judge]) -> None:
        """Reckon every score anew by these judges."""
        for key in self.evidence:
            self.scores[key] = self.refolded(key, judges)

    def refolded(self, key: Key, judges: Mapping[int, Judge]) -> Score:
        """One score as all of its evidence has it by these judges."""
        unknown = severity.unknown_judge(self.policy.quality)
        return fold(
            (
                item_of(each, None if each.judge_id is None else judges.get(each.judge_id, unknown))
                for each in self.evidence[key]
            ),
            self.policy.quality,
        )

    def _note_judge(self, each: Evidence) -> None:
        if each.kind is Kind.REVIEW and each.judge_id is not None and each.score is not None:
            sums = self.pairs[(each.worker_id, _PLACES[each.stage]), each.judge_id]
            sums[0] += 1
            sums[1] += each.score
        if each.against is not None and each.score is not None:
            before = self.comparisons.get(each.worker_id, Comparison())
            self.comparisons[each.worker_id] = before.plus(each.score, each.against)
