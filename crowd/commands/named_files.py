"""Which files of the storage the rows of the database name. Knows nothing of where they lie."""

from collections.abc import Iterator

import sqlalchemy as sa

from crowd.core.db import AnyRow, AnySelect, Database
from crowd.datasets.jobs import export_key
from crowd.datasets.models import Export, ExportState
from crowd.datasets.records import MANIFEST
from crowd.images.delivery_models import Contract
from crowd.images.files import files_of
from crowd.images.models import Image, ImageEvent, ImageState, What

PAGE = 5000

# Of an image refused because nobody could read it, there need not be any file.
_IMAGES = sa.select(Image.id, Image.sha256, Image.width, Image.picture).where(
    sa.or_(Image.duplicate_of.is_(None), Image.picture.is_not(None)),
    sa.or_(Image.width.is_not(None), Image.state != ImageState.REFUSED),
)
_PROOFS = sa.select(ImageEvent.id, ImageEvent.why["proof"].as_string().label("key")).where(
    ImageEvent.what == What.UPLOADED, ImageEvent.why["proof"].as_string().is_not(None)
)
_CONTRACTS = sa.select(Contract.id, Contract.file_key.label("key")).where(Contract.file_key.is_not(None))
_EXPORTS = sa.select(Export.id).where(Export.state == ExportState.DONE)


def named_files(db: Database) -> Iterator[str]:
    """The key of every file that a row names, read page by page; a finished export by its manifest."""
    for image in _rows(db, _IMAGES, Image.id):
        files = files_of(image.sha256, image.picture)
        yield files.original
        if image.width is not None:
            yield files.working
            yield files.thumbnail
    yield from dict.fromkeys(event.key for event in _rows(db, _PROOFS, ImageEvent.id))
    yield from dict.fromkeys(contract.key for contract in _rows(db, _CONTRACTS, Contract.id))
    for export in _rows(db, _EXPORTS, Export.id):
        yield f"{export_key(export.id)}/{MANIFEST}"


def _rows(
    db: Database, statement: AnySelect, number: "sa.orm.InstrumentedAttribute[int]"
) -> Iterator[AnyRow]:
    after = 0
    while True:
        # A transaction of its own each: one long one would keep the queue's dead rows from being cleared.
        with db.read() as conn:
            rows = conn.execute(statement.where(number > after).order_by(number).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].id
