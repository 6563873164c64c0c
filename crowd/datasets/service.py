"""Releases: freezing what is accepted, and ordering exports of what was frozen."""

import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.audits.service import guard_release
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.datasets import access_queries, queries
from crowd.datasets.exports import Plan
from crowd.datasets.formats import choose_format, choose_layout
from crowd.datasets.near import JoinedLooks, most_hue, near_pairs
from crowd.datasets.records import Result, Split
from crowd.datasets.split import look_of, split_looks
from crowd.datasets.suppliers import called_by_number
from crowd.images.models import What
from crowd.images.pictures import NewPicture
from crowd.policy import Policy
from crowd.policy.intake import DuplicateRule
from crowd.policy.targets import Targets
from crowd.runtime import Runtime
from crowd.tasks.taxonomies import shelf

LONGEST_NAME = 100
NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
CHUNK = 5000
NEAR_CHUNK = 400


@dataclass(slots=True)
class Snapshot:
    """What is accepted at one moment, in arrays, so that a million images take some tens of megabytes.

    `hashes` are those of the images at the places `hashed`; a picture without contrast has none.
    """

    images: "array[int]" = field(default_factory=lambda: array("q"))
    segmentation: "array[int]" = field(default_factory=lambda: array("q"))
    attributes: "array[int]" = field(default_factory=lambda: array("q"))
    styles: "array[int]" = field(default_factory=lambda: array("q"))
    looks: "array[int]" = field(default_factory=lambda: array("Q"))
    hashes: "array[int]" = field(default_factory=lambda: array("q"))
    hashed: "array[int]" = field(default_factory=lambda: array("L"))
    main_styles: list[str] = field(default_factory=list)

    def add(self, row: AnyRow) -> None:
        """One accepted image. Raises Conflict for one without all its labels."""
        if None in (row.segmentation, row.attributes, row.styles):
            raise Conflict(
                "labels_incomplete", f"Image {row.id} is accepted but lacks labels; reopen it first."
            )
        if row.phash is not None:
            self.hashed.append(len(self.images))
            self.hashes.append(row.phash)
        self.images.append(row.id)
        self.segmentation.append(row.segmentation)
        self.attributes.append(row.attributes)
        self.styles.append(row.styles)
        self.looks.append(look_of(row.id, row.file_name, row.supplier_id))
        self.main_styles.append(row.main_style or "")

    def join_near(self, conn: Connection, rule: DuplicateRule) -> None:
        """Make one look of the looks that hold nearly the same picture, by hash and colours as at intake."""
        joined = JoinedLooks()
        pairs = (
            (self.hashed[one], self.hashed[other]) for one, other in near_pairs(self.hashes, rule.most_bits)
        )
        apart = (pair for pair in pairs if joined.of(self.looks[pair[0]]) != joined.of(self.looks[pair[1]]))
        while some := list(islice(apart, NEAR_CHUNK)):
            colours = queries.colours_of(conn, {self.images[place] for pair in some for place in pair})
            for pair in some:
                one, other = (colours.get(self.images[place]) for place in pair)
                if one is not None and other is not None and most_hue(one, other) <= rule.most_hue:
                    joined.join(self.looks[pair[0]], self.looks[pair[1]])
        for place, look in enumerate(self.looks):
            self.looks[place] = joined.of(look)

    def rows(self, release_id: int, shares: dict[int, Split]) -> Iterator[dict[str, Any]]:
        """The rows of `release_images`."""
        columns = (self.images, self.segmentation, self.attributes, self.styles, self.looks)
        for image, segmentation, attributes, styles, look in zip(*columns, strict=True):
            yield {
                "release_id": release_id,
                "image_id": image,
                "segmentation_id": segmentation,
                "attributes_id": attributes,
                "styles_id": styles,
                "split": shares[look],
            }


def create_release(
    db: Database,
    name: str,
    *,
    taxonomy_id: int,
    by: int | None,
    now: datetime,
    about: Mapping[str, str] | None = None,
    policy: Policy | None = None,
) -> AnyRow:
    """Freeze every accepted image with its newest labels under `name`. Returns the release's row.

    The split keeps the pictures of one look together. The policy says which are nearly the same, and are
    kept together too, and what the target quantities are.
    The images are looked at in one short read and written in one transaction afterwards, so the release
    is there as a whole or not at all. Where the policy asks for audits, only what passed ones cover is
    released. Raises a 422 about `name`, Conflict `release_exists`, `audit_failed`, `audit_required`,
    `nothing_accepted` or `labels_incomplete`.
    """
    _check_name(name)
    with db.read() as conn:
        if queries.release_named(conn, name) is not None:
            raise _name_taken(name)
    snapshot = Snapshot()
    with db.snapshot() as conn:
        # In the read that collects the images: what is accepted a moment later is not among them.
        guard_release(conn, audited=policy is not None and policy.audit.required)
        for row in queries.accepted_images(conn, now.date()):
            snapshot.add(row)
        if policy is not None:
            snapshot.join_near(conn, policy.intake.duplicates)
    if not snapshot.images:
        raise Conflict("nothing_accepted", "No image is accepted yet, so there is nothing to release.")
    shares = split_looks(zip(snapshot.looks, snapshot.main_styles, strict=True))
    with db.begin() as conn:
        # Again: reading takes its time, and an audit may have failed meanwhile.
        guard_release(conn, audited=False)
        try:
            release_id = queries.add_release(
                conn,
                name=name,
                taxonomy_id=taxonomy_id,
                created_by=by,
                created_at=now,
                images=len(snapshot.images),
                about=dict(about) if about else None,
                targets=policy.targets.as_json() if policy else None,
                names_suppliers=policy is not None and policy.name_suppliers,
            )
        except IntegrityError:
            raise _name_taken(name) from None
        rows = snapshot.rows(release_id, shares)
        while chunk := list(islice(rows, CHUNK)):
            queries.add_release_images(conn, chunk)
        queries.know_release_images(conn)
        return find_release(conn, release_id)


def revise(db: Database, release_id: int, now: datetime) -> None:
    """Leave a tombstone for each image of the release that is withdrawn, or whose contract has ended, since.

    They make a new revision. An image whose contract is renewed has its tombstone for good, and is in the
    next release.

    To be called wherever a release is looked at or handed out, so that it does not matter who withdrew an
    image, and how. Without such images it only reads. An unknown release is nobody's business here.
    """
    with db.read() as conn:
        if not queries.withdrawn_images(conn, release_id, now.date()):
            return
    with db.begin() as conn:
        _bury_withdrawn(conn, release_id, now)


def note_renewal(conn: Connection, image_ids: Collection[int], now: datetime) -> None:
    """Images are about to come under another contract; what the one before ended is written down before.

    Nobody may have looked at the releases that hold them meanwhile, and then it could not be told any more.
    """
    for release_id in queries.release_ids(conn):
        _bury_withdrawn(conn, release_id, now, among=image_ids)


def _bury_withdrawn(
    conn: Connection, release_id: int, now: datetime, among: Collection[int] | None = None
) -> None:
    if not queries.withdrawn_images(conn, release_id, now.date(), among):
        return
    # The lock, then a second look: of two that saw the same images one leaves the tombstones.
    queries.lock_release(conn, release_id)
    images = queries.withdrawn_images(conn, release_id, now.date(), among)
    if images:
        queries.bury(conn, release_id, images, find_release(conn, release_id).revision + 1, now)


def note_picture(conn: Connection, new: NewPicture, what: What, now: datetime) -> None:
    """Every release that holds the image gets a new revision, which has the new picture.

    What was written of earlier ones is not handed out any more: it shows what is covered now. In the
    transaction that takes the picture, under the image's lock.
    """
    for release_id in queries.releases_with(conn, new.image_id):
        queries.lock_release(conn, release_id)
        revision = find_release(conn, release_id).revision + 1
        queries.add_picture(
            conn,
            release_id,
            revision,
            image_id=new.image_id,
            what=what,
            before=new.before,
            picture=new.picture,
            at=now,
        )


def find_release(conn: Connection, release_id: int) -> AnyRow:
    """The release. Raises NotFound."""
    found = queries.release(conn, release_id)
    if found is None:
        raise NotFound("no_such_release", f"There is no release {release_id}.")
    return found


def find_release_named(conn: Connection, name: str) -> AnyRow:
    """The release of that name. Raises NotFound."""
    found = queries.release_named(conn, name)
    if found is None:
        raise NotFound("no_such_release", f"There is no release {name!r}.")
    return found


def difference(row: AnyRow) -> dict[str, Any]:
    """What is different about an image between two releases, from a row of `queries.diff_page`."""
    stages = [stage for stage in ("segmentation", "attributes", "styles") if getattr(row, stage)]
    what = [name for name in ("added", "removed", "moved") if getattr(row, name)]
    return {
        "image_id": row.image_id,
        "what": what + (["relabelled"] if stages else []),
        "stages": stages,
        "split_before": row.split_before,
        "split_after": row.split_after,
    }


def plan(conn: Connection, rt: Runtime, release_id: int, format_name: str, layout: str | None) -> Plan:
    """What is to be written for an export; without a layout it is the format's default.

    Raises NotFound, and a 422 about `format` or `layout`, also for a taxonomy the format has no words for.
    """
    found = find_release(conn, release_id)
    chosen = choose_format(format_name)
    taxonomy = shelf(rt).version(conn, found.taxonomy_id)
    chosen_layout = choose_layout(chosen, layout, taxonomy)
    refusal = chosen.refusal(taxonomy)
    if refusal is not None:
        raise field_error("format", refusal)
    results = [
        Result(row.model, row.split, row.figures, row.at)
        for row in access_queries.every_result(conn, release_id)
    ]
    suppliers, targets = _suppliers(conn, found)
    return Plan(found, chosen, chosen_layout, taxonomy, suppliers=suppliers, targets=targets, results=results)


def _suppliers(conn: Connection, release: AnyRow) -> tuple[Mapping[str, int], Targets]:
    """Images by supplier and the targets, under the names that the sheets of this release use."""
    counted = queries.suppliers(conn, release.id)
    targets = Targets(**release.targets) if release.targets else Targets()
    if release.names_suppliers is not False:
        # Not in the database's order: each sorts letters in its own way.
        return dict(sorted((row.name, row.images) for row in counted)), targets
    numbers = queries.suppliers_named(conn, targets.suppliers.keys())
    return called_by_number({row.id: row.images for row in counted}, numbers, targets)


def order_export(conn: Connection, wanted: Plan, *, by: int | None, now: datetime) -> int:
    """A new export, for a job worker to write; returns its id."""
    return queries.add_export(conn, wanted.release, wanted.format.name, wanted.layout, by, now)


def find_export(conn: Connection, export_id: int) -> AnyRow:
    """The export with its release's name and size. Raises NotFound."""
    found = queries.export(conn, export_id)
    if found is None:
        raise NotFound("no_such_job", f"There is no job {export_id}.")
    return found


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        text = f"1 to {LONGEST_NAME} letters, digits, dots, dashes and underlines (A-Z, a-z, 0-9, . - _)"
        raise field_error("name", text)
    if not name.strip("."):
        raise field_error("name", "must not be dots alone")


def _name_taken(name: str) -> Conflict:
    return Conflict("release_exists", f"There is a release {name!r} already; a release is never changed.")
