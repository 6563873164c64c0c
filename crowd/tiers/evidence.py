"""Evidence about people's answers: kept for good, and folded into scores in the transaction that brings it.

Rooms above say what judges whom; here it is only recorded. Order of locks: whoever records has locked the
image and the task already, and the rows of scores come last, by worker and then stage. So collect what
one event brings, and record it in one call at the end.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from crowd.core.errors import Conflict, NotFound
from crowd.policy import Policy, Stage
from crowd.tiers import quality_queries as queries
from crowd.tiers import score as arithmetic
from crowd.tiers import severity
from crowd.tiers.score import JUDGED, Evidence, Judge, Kind, Score, item_of

__all__ = ["Evidence", "Kind", "record", "refold", "replace", "take_out"]


def record(conn: Connection, policy: Policy, found: Sequence[Evidence]) -> None:
    """Keep evidence for good, and have it count at once.

    Call it once in a transaction, last: it locks the scores it changes until the commit.
    """
    if not found:
        return
    # Locked before anything is written: so the ids of a score's evidence rise in the order of its folding,
    # and a rebuild, which goes by the ids, adds the same numbers in the same order.
    keys = sorted({(each.worker_id, each.stage) for each in found}, key=_in_order)
    standing = _with_fit(conn, queries.lock_scores(conn, keys))
    queries.insert_evidence(conn, found)
    judges = _judges(conn, policy, found, {row.fit_id for row in standing.values()})
    changed: dict[tuple[int, Stage], queries.Standing] = {}
    for each in found:
        if each.weight <= 0.0:
            continue
        key = (each.worker_id, each.stage)
        row = changed.get(key) or standing[key]
        judge = judges.get((row.fit_id, each.judge_id)) if each.judge_id is not None else None
        score = arithmetic.step(row.score, item_of(each, judge), policy.quality)
        changed[key] = queries.Standing(row.fit_id, score)
    queries.write_scores(conn, changed, unchecked=True)


def take_out(
    conn: Connection, policy: Policy, evidence_id: int, *, by: int | None, why: str, at: datetime
) -> None:
    """Have a piece of evidence count no more, as after an appeal; its row stays, and a new one names it.

    Raises NotFound, and Conflict `taken_out` the second time.
    """
    row = queries.evidence_row(conn, evidence_id)
    if row is None or row.cancels_id is not None:
        raise NotFound("not_found", f"There is no evidence {evidence_id}.")
    queries.lock_scores(conn, [(row.worker_id, row.stage)])
    if not queries.insert_cancellation(conn, row, by, why, at):
        raise Conflict("taken_out", f"Evidence {evidence_id} was taken out before.")
    refold(conn, policy, row.worker_id, row.stage)


def replace(
    conn: Connection,
    policy: Policy,
    withdrawn: Sequence[int],
    instead: Sequence[Evidence],
    *,
    by: int,
    why: str,
    at: datetime,
) -> list[int]:
    """Have some evidence count no more and other evidence instead, as one; the ids that were taken out now.

    What had been taken out before stays so. Call it last in a transaction, as `record`; the scores are
    reckoned anew, since what came after was added to what counts no more.
    """
    rows = [row for each in withdrawn if (row := queries.evidence_row(conn, each)) is not None]
    of_rows = {(row.worker_id, row.stage) for row in rows}
    keys = sorted(of_rows | {(each.worker_id, each.stage) for each in instead}, key=_in_order)
    standing = _with_fit(conn, queries.lock_scores(conn, keys))
    taken = [row.id for row in rows if queries.insert_cancellation(conn, row, by, why, at)]
    if instead:
        queries.insert_evidence(conn, instead)
    for key in keys:
        refold(conn, policy, key[0], key[1], standing[key].fit_id)
    return taken


def refold(
    conn: Connection, policy: Policy, worker_id: int, stage: Stage, fit_id: int | None = None
) -> Score:
    """Reckon a score anew from all of its evidence; with `fit_id` by that fit of severity from now on."""
    key = (worker_id, stage)
    row = queries.lock_scores(conn, [key])[key]
    fit = row.fit_id if fit_id is None else fit_id
    judges = {judge_id: judge for (_, judge_id), judge in queries.judges(conn, {fit}).items()}
    unknown = severity.unknown_judge(policy.quality)
    score = arithmetic.fold(
        (
            item_of(each, None if each.judge_id is None else judges.get(each.judge_id, unknown))
            for each in queries.evidence_of_score(conn, worker_id, stage)
        ),
        policy.quality,
    )
    queries.write_scores(conn, {key: queries.Standing(fit, score)}, unchecked=True)
    return score


def _with_fit(
    conn: Connection, standing: dict[queries.Key, queries.Standing]
) -> dict[queries.Key, queries.Standing]:
    """A score begins with the newest fit; later ones reach it when they are made."""
    if all(row.fit_id is not None or row.score.at is not None for row in standing.values()):
        return standing
    newest = queries.latest_fit(conn)
    if newest is None:
        return standing
    return {
        key: row if row.score.at is not None else queries.Standing(newest.id, row.score)
        for key, row in standing.items()
    }


def _judges(
    conn: Connection, policy: Policy, found: Sequence[Evidence], fits: set[int | None]
) -> dict[tuple[int | None, int], Judge]:
    wanted = {each.judge_id for each in found if each.kind in JUDGED and each.judge_id is not None}
    if not wanted:
        return {}
    unknown = severity.unknown_judge(policy.quality)
    known = queries.judges(conn, fits, wanted) if fits - {None} else {}
    return {(fit, one): known.get((fit, one), unknown) for fit in fits for one in wanted}


def _in_order(key: tuple[int, Stage]) -> tuple[int, int]:
    return key[0], queries.STAGE.code(key[1])
