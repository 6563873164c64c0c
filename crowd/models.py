"""Every table in one import, for the migrations and for wiring."""

from crowd.accounts.models import ApiToken, Worker
from crowd.datasets.models import Export, Release, ReleaseImage
from crowd.drafts.models import Draft
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
from crowd.tiers.models import GradeEvent

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
    "Draft",
    "DueJob",
    "Export",
    "Finding",
    "GradeEvent",
    "Image",
    "ImageEvent",
    "Label",
    "Miss",
    "Model",
    "ModelEvent",
    "Participation",
    "Release",
    "ReleaseImage",
    "Serving",
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
