"""Stages, grades, and the policy over them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crowd.policy.intake import IntakePolicy
from crowd.policy.sections import (
    AppealPolicy,
    ExamplePolicy,
    ExpertPolicy,
    FlagPolicy,
    GoldPolicy,
    ProbationPolicy,
    QualityPolicy,
    RefresherPolicy,
)
from crowd.policy.targets import Targets


class Stage(StrEnum):
    """The steps an image goes through, in the order of the process."""

    SEGMENTATION = "segmentation"
    ATTRIBUTES = "attributes"
    STYLES = "styles"
    FIRST_REVIEW = "first_review"
    SECOND_REVIEW = "second_review"
    ADJUDICATION = "adjudication"


class Grade(StrEnum):
    """What a person is trusted with (guideline 5.2 and 6)."""

    TRAINEE = "trainee"
    GENERAL = "general"
    SEMI_EXPERT = "semi_expert"
    REVIEWER = "reviewer"
    EXPERT = "expert"
    INSPECTOR = "inspector"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """One stage: who may sit, and how long (seconds) a lease lasts without a heartbeat.

    While more than `pause_above` tasks are ready at later stages, it hands out no new work; 0: always.
    """

    grades: frozenset[Grade]
    lease_seconds: int
    pause_above: int = 0


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """The final audit; `default.yaml` says what each number means."""

    required: bool
    grades: frozenset[Grade]
    confidence: float
    tolerable_rate: float
    allowed_wrong: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Every number of the process; `default.yaml` says what each means."""

    name: str
    stages: Mapping[Stage, StagePolicy]
    held_leases: int
    batch_leases: int
    reserve_seconds: int
    skip_seconds: int
    stuck_after: int
    bounce_cap: int
    votes_needed: int
    votes_most: int
    withheld_percent: int
    candidate_attempts: int
    urgent_percent: int
    doubted_overlap_percent: int
    promote_by_rule: bool
    promotion_margin_percent: int
    working_width: int
    thumbnail_side: int
    hold_unknown_rights: bool
    intake: IntakePolicy
    targets: Targets
    name_suppliers: bool
    requests_per_minute: int
    login_failures_per_minute: int
    login_failures_per_address: int
    flags: FlagPolicy
    experts: ExpertPolicy
    quality: QualityPolicy
    gold: GoldPolicy
    audit: AuditPolicy
    appeals: AppealPolicy
    probation: ProbationPolicy
    refreshers: RefresherPolicy
    examples: ExamplePolicy
    promotions: Mapping[Grade, Grade]
    demotions: Mapping[Grade, Grade]

    def stages_for(self, grade: Grade) -> tuple[Stage, ...]:
        """The stages a person of `grade` may pull, in the order of the process."""
        return tuple(stage for stage in Stage if grade in self.stages[stage].grades)
