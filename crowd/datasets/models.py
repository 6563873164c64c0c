"""Tables of releases, their exports, who may fetch them, and what models trained on them achieved."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.datasets.records import Split
from crowd.images.models import STAGE, WHAT, What
from crowd.policy import Stage


class ExportState(StrEnum):
    """Where an export stands; pending ones are found again by every sweep."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Verdict(StrEnum):
    """What an admin decided about a request for a release; the newest decision holds."""

    APPROVED = "approved"
    DENIED = "denied"
    REVOKED = "revoked"


SPLIT = Coded(Split)
EXPORT_STATE = Coded(ExportState)
VERDICT = Coded(Verdict)


class Release(Base):
    """A named, immutable set of accepted images; `about` is what its makers say of it (see `about.ABOUT`).

    `targets`: the policy's target quantities on that day. `names_suppliers`: whether sheets call suppliers
    by their names; null: made before anybody asked, and they do.
    """

    __tablename__ = "releases"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    taxonomy_id: Mapped[int] = mapped_column(sa.ForeignKey("taxonomies.id"))
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    images: Mapped[int] = mapped_column(default=0)
    about: Mapped[Any | None] = mapped_column(Json)
    targets: Mapped[Any | None] = mapped_column(Json)
    names_suppliers: Mapped[bool | None]


class ReleaseImage(Base):
    """One image of a release, and the rows of `labels` that it holds."""

    __tablename__ = "release_images"

    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    split: Mapped[Split] = mapped_column(SPLIT)
    segmentation_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))
    attributes_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))
    styles_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))


class Tombstone(Base):
    """An image that was withdrawn after its release: it is in no revision from this one on. Append-only."""

    __tablename__ = "release_tombstones"

    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    revision: Mapped[int]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReleasePicture(Base):
    """From this revision on an image of the release is another picture: a face covered, a part cut off.

    `before` and `picture` are the SHA-256 of the working images, null for the one that intake made.
    Append-only.
    """

    __tablename__ = "release_pictures"

    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    what: Mapped[What] = mapped_column(WHAT)
    before: Mapped[bytes | None] = mapped_column(sa.LargeBinary(32))
    picture: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class AccessRequest(Base):
    """A person asks for a release, and says what for. Append-only."""

    __tablename__ = "access_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    purpose: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index("ix_access_requests_release", "release_id", "id"),
        sa.Index("ix_access_requests_worker", "worker_id", "release_id"),
    )


class AccessDecision(Base):
    """An admin's decision about a request. Append-only."""

    __tablename__ = "access_decisions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_id: Mapped[int] = mapped_column(sa.ForeignKey("access_requests.id"), index=True)
    verdict: Mapped[Verdict] = mapped_column(VERDICT)
    reason: Mapped[str] = mapped_column(sa.Text)
    actor_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Download(Base):
    """Somebody fetched files of a release; `request_id` is what allowed it (null: an admin). Append-only."""

    __tablename__ = "release_downloads"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"))
    export_id: Mapped[int] = mapped_column(sa.ForeignKey("exports.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    request_id: Mapped[int | None] = mapped_column(sa.ForeignKey("access_requests.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_release_downloads_release", "release_id", "id"),)


class ModelRequest(Base):
    """A person asks for a model's file, and says what for. Append-only."""

    __tablename__ = "model_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    purpose: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index("ix_model_requests_model", "model_id", "id"),
        sa.Index("ix_model_requests_worker", "worker_id", "model_id"),
    )


class ModelDecision(Base):
    """An admin's decision about a request for a model. Append-only."""

    __tablename__ = "model_decisions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_id: Mapped[int] = mapped_column(sa.ForeignKey("model_requests.id"), index=True)
    verdict: Mapped[Verdict] = mapped_column(VERDICT)
    reason: Mapped[str] = mapped_column(sa.Text)
    actor_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ModelFetch(Base):
    """Somebody fetched a model's file; `request_id` is what allowed it (null: an admin). Append-only."""

    __tablename__ = "model_fetches"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    request_id: Mapped[int | None] = mapped_column(sa.ForeignKey("model_requests.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_model_fetches_model", "model_id", "id"),)


class ServiceRequest(Base):
    """A person asks for what the models of a stage say of images, and says what for. Append-only."""

    __tablename__ = "service_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    purpose: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index("ix_service_requests_stage", "stage", "id"),
        sa.Index("ix_service_requests_worker", "worker_id", "stage"),
    )


class ServiceDecision(Base):
    """An admin's decision about a request for a service. Append-only."""

    __tablename__ = "service_decisions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_id: Mapped[int] = mapped_column(sa.ForeignKey("service_requests.id"), index=True)
    verdict: Mapped[Verdict] = mapped_column(VERDICT)
    reason: Mapped[str] = mapped_column(sa.Text)
    actor_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ServiceUse(Base):
    """Somebody was told what a model says of an image; `request_id` allowed it (null: an admin).

    Append-only.
    """

    __tablename__ = "service_uses"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    request_id: Mapped[int | None] = mapped_column(sa.ForeignKey("service_requests.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_service_uses_stage", "stage", "id"),)


class TestResult(Base):
    """How well a model did that was trained on the release; figures by name. Append-only.

    `actor_id` is null where the model brought it along when it was registered on the machine itself.
    """

    __tablename__ = "release_results"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"))
    model_id: Mapped[int | None] = mapped_column(sa.ForeignKey("models.id"))
    model: Mapped[str] = mapped_column(sa.String(100))
    split: Mapped[Split] = mapped_column(SPLIT)
    figures: Mapped[Any] = mapped_column(Json)
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_release_results_release", "release_id", "id"),)


class Export(Base):
    """A release being written in one format; `written` counts images, so that it can go on."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), index=True)
    format: Mapped[str] = mapped_column(sa.String(20))
    layout: Mapped[str] = mapped_column(sa.String(20))
    state: Mapped[ExportState] = mapped_column(EXPORT_STATE)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    written: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(sa.Text)
    run_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index(
            "ix_exports_unfinished",
            "run_after",
            postgresql_where=sa.text("run_after IS NOT NULL"),
            sqlite_where=sa.text("run_after IS NOT NULL"),
        ),
    )
