"""The registry of models: files come in as versions, one version serves a stage, a step back is one call."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import exc
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, Unprocessable, field_error
from crowd.core.http import unkeepable
from crowd.core.storage import FolderStorage
from crowd.ml import queries
from crowd.ml.card import Benchmark, Card, CardError, outputs_of, parse_card, read_card, unknown_classes
from crowd.ml.models import Turn
from crowd.ml.rules import is_better
from crowd.policy import Policy
from crowd.runtime import Runtime
from crowd.tasks.taxonomies import shelf

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A model's file in the storage, and its card."""

    key: str
    sha256: bytes
    card: Card


@dataclass(frozen=True, slots=True)
class Added:
    """A version that is registered just now; `by` is null where that was done on the machine itself."""

    model_id: int
    title: str
    card: Card
    by: int | None


# Called in the transaction that registers a model: the room of releases, which stands above this one, notes
# how well it did on the one that it was trained on.
ADDED_HOOKS: list[Callable[[Connection, Added, datetime], None]] = []


def title(name: str, version: int) -> str:
    """How a version is called wherever candidates are shown."""
    return f"{name}@{version}"


def keep_file(storage: FolderStorage, source: IO[bytes]) -> Kept:
    """Copy a model's file into the storage. Raises Unprocessable for one that is no model of ours."""
    with storage.temporary(suffix=".safetensors") as aside:
        with aside.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
            target.flush()
            os.fsync(target.fileno())
        card = _card_of(aside)
        with aside.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
        key = f"models/{sha256.hex()}.safetensors"
        if not storage.exists(key):
            with storage.writing(key) as path:
                aside.replace(path)
    return Kept(key, sha256, card)


def add(rt: Runtime, kept: Kept, name: str, *, by: int | None, now: datetime) -> AnyRow:
    """Register a kept file as the next version of `name`; by the policy's rule it may serve at once.

    Raises Unprocessable (the name; a card of which the taxonomy knows nothing), Conflict (the file is
    registered already; somebody else added a version of the name at the same moment).
    """
    card = kept.card
    if not NAME.fullmatch(name):
        raise field_error("name", "1 to 60 of a-z 0-9 . _ - are needed, the first no sign")
    taxonomy = shelf(rt).present().taxonomy
    if len(unknown_classes(card, taxonomy)) == outputs_of(card.classes):
        raise field_error("file", f"the taxonomy {taxonomy.name} knows none of its classes")
    try:
        with rt.db.begin() as conn:
            model_id = _add(conn, kept, name, by=by, now=now)
            found = find(conn, model_id)
            for hook in ADDED_HOOKS:
                hook(conn, Added(model_id, title(found.name, found.version), card, by), now)
            _promote_if_better(conn, model_id, card, rt.policy, now)
    except exc.IntegrityError:
        raise Conflict(
            "added_at_once", f"Somebody else was just adding a version of {name}; try again."
        ) from None
    rt.queue.nudge("candidates")
    with rt.db.read() as conn:
        return find(conn, model_id)


def find(conn: Connection, model_id: int) -> AnyRow:
    """The model. Raises NotFound."""
    found = queries.model(conn, model_id)
    if found is None:
        raise NotFound("no_such_model", f"There is no model {model_id}.")
    return found


def find_titled(conn: Connection, text: str) -> AnyRow:
    """The model called `text`: NAME@VERSION, or its number. Raises NotFound."""
    name, _, version = text.rpartition("@")
    found = None
    if name and version.isdecimal() and len(version) < 10:
        found = queries.model_named(conn, name, int(version))
    elif text.isdecimal() and len(text) < 19:
        found = queries.model(conn, int(text))
    if found is None:
        raise NotFound("no_such_model", f"There is no model {text}; `crowd model list` shows all.")
    return found


def promote(conn: Connection, model_id: int, *, by: int | None, why: str, now: datetime) -> AnyRow:
    """Have the model make its stage's candidates from now on. Again: nothing changes. Raises NotFound."""
    found = find(conn, model_id)
    serving = queries.lock_serving(conn, found.stage, now)
    if serving.model_id == model_id:
        return found
    queries.serve(conn, found.stage, model_id, now)
    queries.note(conn, Turn.PROMOTED, found.stage, model_id, before=serving.model_id, by=by, why=why, now=now)
    return find(conn, model_id)


def roll_back(conn: Connection, model_id: int, *, by: int | None, why: str, now: datetime) -> AnyRow | None:
    """The model stops serving; the one it replaced serves again, None if there was none.

    Raises NotFound, and Conflict when the model is not (or no longer) the one that serves: of two people
    who step back at once, one does.
    """
    found = find(conn, model_id)
    serving = queries.lock_serving(conn, found.stage, now)
    if serving.model_id != model_id:
        raise Conflict("not_serving", f"{title(found.name, found.version)} is not the one that serves.")
    earlier = _before_the_last((row.what, row.model_id) for row in queries.turns(conn, found.stage))
    queries.serve(conn, found.stage, earlier, now)
    queries.note(conn, Turn.ROLLED_BACK, found.stage, earlier, before=model_id, by=by, why=why, now=now)
    return None if earlier is None else find(conn, earlier)


def _before_the_last(turns: Iterable[tuple[Turn, int | None]]) -> int | None:
    """The model that served before the present one, of all turns of a stage (what, the model), oldest first.

    A promotion is a step forward and a rollback takes the last one back, so going back comes to an end also
    where one model was promoted twice.
    """
    steps: list[int | None] = []
    for what, model_id in turns:
        if what is Turn.PROMOTED:
            steps.append(model_id)
        elif what is Turn.ROLLED_BACK and steps:
            steps.pop()
    return steps[-2] if len(steps) > 1 else None


def is_any_served(conn: Connection) -> bool:
    """Whether there is a stage with a model."""
    return any(row.model_id is not None for row in queries.served(conn))


def _card_of(path: Path) -> Card:
    """The card of a file, as the database can keep it. Raises Unprocessable."""
    with path.open("rb") as file:
        try:
            card = read_card(file)
        except CardError as error:
            raise _no_model(str(error)) from None
    for place, texts in unkeepable(card.document).items():
        raise _no_model(f"has a card that cannot be kept: {place}: {texts[0]}")
    return card


def _no_model(why: str) -> Unprocessable:
    return Unprocessable("no_model", f"file: the file {why}", errors={"file": [f"the file {why}"]})


def _add(conn: Connection, kept: Kept, name: str, *, by: int | None, now: datetime) -> int:
    if (known := queries.model_of_file(conn, kept.sha256)) is not None:
        raise Conflict("known_model", f"This file is {title(known.name, known.version)} already.")
    newest = queries.newest_version(conn, name)
    if newest is not None and newest.stage is not kept.card.stage:
        raise field_error(
            "name", f"{name} is a model of {newest.stage}; this file is one of {kept.card.stage}"
        )
    values: dict[str, Any] = {
        "stage": kept.card.stage,
        "name": name,
        "version": 1 if newest is None else newest.version + 1,
        "file": kept.key,
        "sha256": kept.sha256,
        "card": dict(kept.card.document),
        "metrics": dict(kept.card.metrics),
        "created_by": by,
        "created_at": now,
    }
    model_id = queries.add_model(conn, values)
    queries.note(conn, Turn.ADDED, kept.card.stage, model_id, before=None, by=by, why="", now=now)
    return model_id


def _promote_if_better(conn: Connection, model_id: int, card: Card, policy: Policy, now: datetime) -> None:
    serving = queries.lock_serving(conn, card.stage, now) if policy.promote_by_rule else None
    if serving is None or serving.model_id is None:
        return
    old = _benchmark(conn, serving.model_id)
    if is_better(card.benchmark, old, policy):
        assert card.benchmark is not None
        assert old is not None
        why = f"{card.benchmark.measure} on {old.set}: {card.benchmark.score:.4f} over {old.score:.4f}"
        promote(conn, model_id, by=None, why=f"by the policy's rule: {why}", now=now)


def _benchmark(conn: Connection, model_id: int) -> Benchmark | None:
    return parse_card(find(conn, model_id).card).benchmark
