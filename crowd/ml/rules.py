"""Which tasks get candidates, which of these are withheld, and when a model replaces another. PURE."""

import hashlib

from crowd.ml.card import Benchmark
from crowd.policy import Policy, Stage
from crowd.tasks.flow import LABELLING, Cause


def may_have_candidates(stage: Stage, seat: int, cause: Cause | None, *, has_labels: bool) -> bool:
    """Whether a task gets candidates: the first look at an image in a labelling stage alone.

    Second opinions and further experts judge by themselves. Rework starts from the last labels, and what
    confirming them takes says nothing of a model. `has_labels`: the stage has labels of this image already.
    """
    return stage in LABELLING and seat == 1 and cause is None and not has_labels


def is_withheld(task_id: int, policy: Policy) -> bool:
    """Whether the task is of the share that is served without its candidates, for comparison.

    By its id alone: nobody can choose it, and claiming it again changes nothing.
    """
    digest = hashlib.blake2b(b"candidates/%d" % task_id, digest_size=8).digest()
    return int.from_bytes(digest) % 100 < policy.withheld_percent


def is_better(new: Benchmark | None, old: Benchmark | None, policy: Policy) -> bool:
    """Whether the policy promotes a model of this result over one of that: on the same set, by a margin."""
    if not policy.promote_by_rule or new is None or old is None:
        return False
    if (new.set, new.measure) != (old.set, old.measure):
        return False
    return round((new.score - old.score) * 100, 9) >= policy.promotion_margin_percent
