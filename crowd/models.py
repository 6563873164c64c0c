"""Every table in one import, for the migrations and for wiring."""

from crowd.accounts.models import ApiToken, Worker
from crowd.datasets.models import Export, Release, ReleaseImage
from crowd.gold.models import GoldEvent, GoldItem, GoldSeat
from crowd.images.models import Batch, Finding, Image, ImageEvent, Supplier
from crowd.ml.models import (
    CandidateJob,
    CandidateMark,
    Candidates,
    CandidateUse,
    Model,
    ModelEvent,
    Serving,
    Showing,
    UseDelta,
    UseSum,
)
from crowd.review.models import Comment
from crowd.review.redo_models import Redo, RedoImage
from crowd.tasks.expert_models import ExpertFigure, ReadMark
from crowd.tasks.models import (
    Claim,
    Count,
    CountCorrection,
    CountDelta,
    DueJob,
    Label,
    Miss,
    Participation,
    Submission,
    Task,
    TaxonomyVersion,
    WorkerCount,
)
from crowd.tiers.exams import Exam
from crowd.tiers.flag_models import Flag, FlagEvent
from crowd.tiers.models import GradeEvent
from crowd.tiers.quality_models import EvidenceRow, Proposal, ScoreRow, SeverityFit, SeverityRow

__all__ = [
    "ApiToken",
    "Batch",
    "CandidateJob",
    "CandidateMark",
    "CandidateUse",
    "Candidates",
    "Claim",
    "Comment",
    "Count",
    "CountCorrection",
    "CountDelta",
    "DueJob",
    "EvidenceRow",
    "Exam",
    "ExpertFigure",
    "Export",
    "Finding",
    "Flag",
    "FlagEvent",
    "GoldEvent",
    "GoldItem",
    "GoldSeat",
    "GradeEvent",
    "Image",
    "ImageEvent",
    "Label",
    "Miss",
    "Model",
    "ModelEvent",
    "Participation",
    "Proposal",
    "ReadMark",
    "Redo",
    "RedoImage",
    "Release",
    "ReleaseImage",
    "ScoreRow",
    "Serving",
    "SeverityFit",
    "SeverityRow",
    "Showing",
    "Submission",
    "Supplier",
    "Task",
    "TaxonomyVersion",
    "UseDelta",
    "UseSum",
    "Worker",
    "WorkerCount",
]
