"""A crowd that works at random, straight on the engine: every kind of evidence comes up."""

import random
from dataclasses import dataclass, field
from typing import Any

from crowd.policy import Grade, Stage
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Kind
from tests.tasks.engine import Engine, Lease, later, passing

CREW = {
    Grade.GENERAL: 3,
    Grade.REVIEWER: 2,
    Grade.EXPERT: 4,
    Grade.INSPECTOR: 4,
    Grade.ADMIN: 1,
}


@dataclass
class Crowd:
    """People of an engine who answer by the dice of a seed."""

    engine: Engine
    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        # Every claim would be tried twice, to see what marks do; here they are not looked at.
        self.engine.is_alone = False
        for grade, count in CREW.items():
            while len(self.engine.crew[grade]) < count:
                self.engine.hire(grade)

    def work(self, images: int, answers: int) -> None:
        """Bring images in, and have whoever can give an answer, so often at most."""
        for _ in range(images):
            self.engine.add_image()
        for _ in range(answers):
            later(self.engine, self.rng.choice((30, 3600, 20_000)))
            self._one()

    def _one(self) -> None:
        everybody = [one for people in self.engine.crew.values() for one in people]
        for worker_id in self.rng.sample(everybody, len(everybody)):
            lease = self.engine.claim(worker_id)
            if not isinstance(lease, QueueState):
                self.engine.answer(lease, *self._answer(lease))
                return

    def _answer(self, lease: Lease) -> tuple[dict[str, Any], Kind]:
        dice = self.rng.random()
        if lease.stage in (Stage.ATTRIBUTES, Stage.STYLES) and dice < 0.1:
            return {"reasons": ["missing"]}, Kind.SEND_BACK
        if lease.stage is Stage.STYLES and dice < 0.4:
            return passing(lease, self.rng.randrange(4)) | {"unsure": True}, Kind.SUBMIT
        if "score" in passing(lease) and dice < 0.35:
            blame = self.rng.choice(("segmentation", "attributes", "styles", None))
            score = self.rng.randint(1, 3)
            return {"score": score, "blame": blame, "reasons": ["missing"], "comment": ""}, Kind.SUBMIT
        if lease.stage is Stage.ATTRIBUTES:
            answer = passing(lease)
            for values in answer["regions"].values():
                values["color"] = self.rng.choice(("black", "white"))
            return answer, Kind.SUBMIT
        return passing(lease, self.rng.randrange(4)), Kind.SUBMIT
