"""The watch over answers: the detectors, run over what is new, open flags with their evidence.

It reads a fixed number of answers for each person who has given new ones, and as many of everybody's to
compare with; it changes nothing but flags. Nobody is punished by it.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from statistics import median
from typing import Any, TypeVar

import structlog
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, Database
from crowd.ml.models import Taking
from crowd.policy import Policy, Stage
from crowd.policy.sections import FlagPolicy
from crowd.review import detector_queries as queries
from crowd.review import detectors
from crowd.review.detectors import Chosen, Context, Finding, Mix, Overlap
from crowd.tasks.flow import LABELLING
from crowd.tiers import flag_queries, flags

T = TypeVar("T")

log = structlog.get_logger(__name__)

# Answers read at a time: new ones, one person's latest, and everybody's to compare with.
FRESH_BATCH = 5000
OWN_ANSWERS = 300
ALL_ANSWERS = 4000
# Labels of a person from which it can be told how they lie beside the mix.
LEAST_LABELS = 10
# Somebody who crashed in the middle of a look keeps the others from it for so long.
TURN = timedelta(minutes=15)

_JUDGED = (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW)

# Who has seats made for comparing brings their latest overlaps: of a person at a review stage, oldest first,
# given after a moment (None: ever).
OVERLAP_SOURCES: list[Callable[[Connection, int, Stage, datetime | None], Sequence[Overlap]]] = []


@dataclass(frozen=True, slots=True)
class Opened:
    """A flag that a look has opened."""

    flag_id: int
    worker_id: int
    stage: Stage
    finding: Finding


@dataclass
class Peers:
    """What everybody's newest answers at one stage look like, each person's apart."""

    chosen: dict[int, dict[str, list[Chosen]]] = field(default_factory=lambda: defaultdict(dict))
    mixes: dict[str, Mix] = field(default_factory=lambda: defaultdict(Mix))
    spreads: dict[str, float] = field(default_factory=lambda: defaultdict(lambda: 1.0))
    labels: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    scores: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def mix(self) -> None:
        """Add everybody's labels up, and tell how far people's differ from that by themselves."""
        for given in self.chosen.values():
            for name, labels in given.items():
                for chosen in labels:
                    self.mixes[name].add(chosen)
        for name, mix in self.mixes.items():
            enough = [
                given[name] for given in self.chosen.values() if len(given.get(name, ())) >= LEAST_LABELS
            ]
            fits = [found for each in enough if (found := detectors.fit(each, mix)) is not None]
            self.spreads[name] = detectors.dispersion(fits)


def look_if_due(db: Database, policy: Policy, now: datetime) -> list[Opened] | None:
    """`look`, as often as policy says, however many processes ask; None when it is not due."""
    with db.read() as conn:
        if not queries.due(conn, now):
            return None
    every = timedelta(seconds=policy.flags.every_seconds)
    with db.begin() as conn:
        if not queries.take_turn(conn, now, now + max(every, TURN)):
            return None
    opened = look(db, policy, now)
    with db.begin() as conn:
        queries.take_turn(conn, now + max(every, TURN), now + every)
    return opened


def look(db: Database, policy: Policy, now: datetime) -> list[Opened]:
    """Look at everybody who has given answers since the last time; the flags that were opened.

    May be killed at any moment: what was not looked at is looked at again. A flag opens once.
    """
    opened: list[Opened] = []
    while True:
        with db.read() as conn:
            before = queries.mark(conn)
            if before is None:
                before = max(0, queries.newest_id(conn) - FRESH_BATCH)
            rows = queries.fresh(conn, before, FRESH_BATCH)
        if not rows:
            return opened
        opened += look_at(db, policy, {row.worker_id for row in rows}, now)
        with db.begin() as conn:
            queries.move_mark(conn, rows[-1].id)


def look_at(db: Database, policy: Policy, worker_ids: Iterable[int], now: datetime) -> list[Opened]:
    """Look at these people, whether or not they have given new answers."""
    with db.read() as conn:
        people = queries.in_good_standing(conn, set(worker_ids))
        peers = _peers(conn, queries.newest_answers(conn, ALL_ANSWERS)) if people else {}
    opened: list[Opened] = []
    for worker_id in sorted(people):
        with db.read() as conn:
            found = list(_findings(conn, worker_id, peers, policy.flags))
        for stage, finding in found:
            with db.begin() as conn:
                flag_id = flags.open_flag(
                    conn, worker_id, finding.code, stage=stage, evidence=finding.evidence, at=now
                )
            if flag_id is not None:
                log.info("flag_opened", flag=flag_id, worker=worker_id, code=finding.code, stage=stage)
                opened.append(Opened(flag_id, worker_id, stage, finding))
    return opened


def _findings(
    conn: Connection, worker_id: int, peers: Mapping[Stage, Peers], policy: FlagPolicy
) -> Iterator[tuple[Stage, Finding]]:
    decided = flag_queries.last_decisions(conn, worker_id)
    by_stage: dict[Stage, list[AnyRow]] = defaultdict(list)
    for row in queries.newest_answers_of(conn, worker_id, OWN_ANSWERS):
        by_stage[row.stage].append(row)
    for stage, rows in by_stage.items():
        # What an admin has judged once is not held against the person again.
        after = max((at for (_, at_stage), at in decided.items() if at_stage in (stage, None)), default=None)
        answers = [row for row in rows if after is None or row.at > after]
        if answers:
            look = _Look(conn, worker_id, stage, answers, peers.get(stage, Peers()), policy, after)
            yield from ((stage, finding) for finding in look.findings())


@dataclass(frozen=True, slots=True)
class _Look:
    """One person's latest answers at one stage, and everybody's to compare with."""

    conn: Connection
    worker_id: int
    stage: Stage
    answers: Sequence[AnyRow]
    peers: Peers
    policy: FlagPolicy
    after: datetime | None

    def findings(self) -> Iterator[Finding]:
        """What the detectors find."""
        found = [self._too_fast()]
        if self.stage in LABELLING:
            found += [self._copied(), *self._blankets(), self._candidates(), self._rework()]
        elif self.stage in _JUDGED:
            found += [self._reviewer(), self._rubber_stamp()]
        codes = set()
        for finding in found:
            if finding is not None and finding.code not in codes:
                codes.add(finding.code)
                yield finding

    def _others(self, by_person: Mapping[int, T]) -> list[T]:
        return [each for other, each in by_person.items() if other != self.worker_id]

    def _too_fast(self) -> Finding | None:
        limit = detectors.fast_limit(self.stage, self._others(self.peers.seconds), self.policy)
        return detectors.too_fast(spent(self.answers), limit, self.policy)

    def _blankets(self) -> Iterator[Finding | None]:
        counted = self.peers.chosen.get(self.worker_id, {})
        for name, own in chosen_in(self.answers).items():
            if len(own) < self.policy.blanket_least:
                continue
            others = self.peers.mixes[name].without(counted.get(name, ()))
            finding = detectors.blanket(own, others, self.peers.spreads[name], self.policy)
            if finding is not None:
                yield Finding(finding.code, {"of": name, **finding.evidence})

    def _copied(self) -> Finding | None:
        latest = self.answers[-self.policy.copied_last :]
        if self.stage is not Stage.SEGMENTATION:
            own = [(row.image_id, text) for row in latest if (text := _as_text(row.result))]
            others: Counter[str] = Counter()
            for each in self._others(self.peers.labels):
                others.update(each)
            return detectors.copied_labels(own, others, self.policy)
        results = queries.results(self.conn, [row.id for row in latest])
        outlines = [(row.image_id, each) for row in latest for each in outlines_of(results[row.id])]
        return detectors.copied_outlines(outlines, self.policy)

    def _candidates(self) -> Finding | None:
        own = _taken(self.answers)
        others = self._others(self.peers.taken)
        return self._taken_over("candidates", own, others)

    def _rework(self) -> Finding | None:
        own = kept_rework(self.conn, self.answers)
        others = self._others(self.peers.kept)
        return self._taken_over("rework", own, others)

    def _taken_over(self, what: str, own: Sequence[bool], others: Sequence[Sequence[bool]]) -> Finding | None:
        counted = [(sum(each), len(each)) for each in others]
        return detectors.taken_over(what, (sum(own), len(own)), counted, self.policy)

    def _reviewer(self) -> Finding | None:
        # Seats made for comparing tell more than what the flow happens to compare, but they are few once
        # somebody is no longer new: whoever was careful then is held against what the flow shows now.
        seats = [
            each
            for source in OVERLAP_SOURCES
            for each in source(self.conn, self.worker_id, self.stage, self.after)
        ]
        images = [row.image_id for row in self.answers[-self.policy.overlap_most :]]
        in_flow = list(overlaps_of(self.conn, self.worker_id, self.stage, images))
        return detectors.reviewer(seats, self.policy) or detectors.reviewer(in_flow, self.policy)

    def _rubber_stamp(self) -> Finding | None:
        scores = [row.result["score"] for row in self.answers if "score" in row.result]
        others = self._others(self.peers.scores)
        return detectors.rubber_stamp(scores, others, self.policy)


def _peers(conn: Connection, answers: Sequence[AnyRow]) -> dict[Stage, Peers]:
    """Everybody's newest answers, by stage and person."""
    apart: dict[tuple[Stage, int], list[AnyRow]] = defaultdict(list)
    for row in answers:
        apart[row.stage, row.worker_id].append(row)
    peers: dict[Stage, Peers] = defaultdict(Peers)
    for (stage, worker_id), rows in apart.items():
        here = peers[stage]
        here.seconds[worker_id] = spent(rows)
        if stage in LABELLING:
            here.chosen[worker_id] = chosen_in(rows)
            here.labels[worker_id] = Counter(text for row in rows if (text := _as_text(row.result)))
            here.taken[worker_id] = _taken(rows)
            here.kept[worker_id] = kept_rework(conn, rows)
        else:
            here.scores[worker_id] = [row.result["score"] for row in rows if "score" in row.result]
    for here in peers.values():
        here.mix()
    return peers


def spent(answers: Sequence[AnyRow]) -> list[float]:
    """The seconds that each answer took at most, from its claim on.

    What was claimed at once, as the grid does, is shared out evenly. Of a single task the person's own word
    counts where it is less: nobody gains by saying so.
    """
    found: list[float] = []
    before: datetime | None = None
    for claimed_at, group in groupby(answers, key=lambda row: row.claimed_at):
        rows = list(group)
        if claimed_at is not None:
            began = max(claimed_at, before) if before and len(rows) > 1 else claimed_at
            each = (rows[-1].at - began).total_seconds() / len(rows)
            told = rows[0].seconds if len(rows) == 1 else None
            found += [each if told is None else min(each, told)] * len(rows)
        before = rows[-1].at
    return found


def chosen_in(answers: Sequence[AnyRow]) -> dict[str, list[Chosen]]:
    """What was chosen in answers at one stage, by what was to be chosen: attributes of a part, the style."""
    found: dict[str, list[Chosen]] = defaultdict(list)
    for row in answers:
        if not row.result or "unusable" in row.result:
            continue
        if row.stage is Stage.STYLES:
            served: tuple[Context, ...] = ((), (row.supplier_id,))
            found["styles"].append(Chosen(served, row.result["styles"][0]))
        elif row.stage is Stage.ATTRIBUTES:
            for values in row.result["regions"].values():
                # Which attributes there are tells the part, without a look at the outlines.
                part = tuple(values)
                for name, value in values.items():
                    label = ",".join(sorted(value)) if isinstance(value, list) else value
                    served = ((part,), (part, row.supplier_id))
                    found[name].append(Chosen(served, label or ""))
    return found


def outlines_of(result: Mapping[str, Any]) -> list[str]:
    """A fingerprint of each region's outline, to the pixel."""
    found = []
    for region in result.get("regions", ()):
        pixels = [[[round(x), round(y)] for x, y in ring] for ring in region["rings"]]
        found.append(hashlib.sha256(json.dumps(pixels).encode()).hexdigest()[:24])
    return found


def kept_rework(conn: Connection, answers: Sequence[AnyRow]) -> list[bool]:
    """Of what had been sent back to them: whether each was handed in again as it was."""
    rework = [row for row in answers if row.bounced and row.stage is not Stage.SEGMENTATION]
    found = []
    for row in rework:
        before = queries.labels_before(conn, row.image_id, row.stage, row.round)
        found.append(before is not None and _without_doubt(before) == _without_doubt(row.result))
    return found


def overlaps_of(conn: Connection, worker_id: int, stage: Stage, images: Sequence[int]) -> Iterator[Overlap]:
    """The person's scores of these images beside others' of the same labels, oldest first.

    Of a second review: the adjudicator's where there was one, else the other seat's. Of a first review that
    let the image pass: the median of the second reviews and the adjudication after it.
    """
    verdicts: dict[tuple[int, int], list[AnyRow]] = defaultdict(list)
    stages = (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW, Stage.ADJUDICATION)
    for row in queries.verdicts_on(conn, sorted(set(images)), stages):
        if "score" in row.result:
            verdicts[row.image_id, row.round].append(row)
    for (image_id, _), rows in verdicts.items():
        own = [row for row in rows if row.worker_id == worker_id and row.stage is stage]
        if not own:
            continue
        reference = _reference(rows, own[-1])
        if reference is not None:
            selected = stage is Stage.FIRST_REVIEW
            yield Overlap(worker_id, image_id, own[-1].result["score"], reference, selected)


def _reference(rows: Sequence[AnyRow], own: AnyRow) -> float | None:
    others = [row for row in rows if row.worker_id != own.worker_id]
    settled = [row.result["score"] for row in others if row.stage is Stage.ADJUDICATION]
    seats = [row.result["score"] for row in others if row.stage is Stage.SECOND_REVIEW]
    if own.stage is Stage.SECOND_REVIEW:
        return float(median(settled or seats)) if settled or seats else None
    return float(median(seats + settled)) if seats else None


def _taken(answers: Sequence[AnyRow]) -> list[bool]:
    return [row.taking is Taking.AS_IS for row in answers if row.taking is not None]


def _without_doubt(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if name != "unsure"}


def _as_text(result: Any) -> str | None:
    """An answer's labels as one text; None where they say too little to be worth comparing."""
    if not result or "regions" not in result:
        return None
    values = sorted(
        json.dumps({name: value for name, value in region.items() if value}, sort_keys=True)
        for region in result["regions"].values()
    )
    return "\n".join(values) if any(values) else None
