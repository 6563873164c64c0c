"""Small real models, written to files as training writes them, and a system in which they serve."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from PIL import Image as Picture
from safetensors.torch import save_file

from crowd.core import clock
from crowd.images.files import files_of
from crowd.images.models import Image
from crowd.ml import pending, service
from crowd.ml.models import CandidateJob, Candidates, CandidateUse, Showing
from crowd.ml.nets import create_model
from crowd.ml.pending import Returned, Wanted
from crowd.ml.serving import Shelf, Waiter
from crowd.ml.uses import Observer
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import answers, handover, leases, moves
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Kind, Task
from crowd.taxonomy import load_taxonomy
from tests.tasks.engine import Engine

STYLES = [style.key for style in load_taxonomy().styles]
SIDE = 32
INPUTS = {"size": [SIDE, SIDE], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "fit": "squash"}


def styles_card(**more: Any) -> dict[str, Any]:
    """The card of a small net of styles."""
    options = {"labels": len(STYLES), "backbone": "resnet18", "size": SIDE}
    return {
        "stage": "styles",
        "net": "baseline",
        "options": options,
        "classes": STYLES,
        "inputs": INPUTS,
        **more,
    }


def attributes_card(**more: Any) -> dict[str, Any]:
    """The card of a small net of every attribute that the taxonomy has."""
    attributes = load_taxonomy().attributes
    questions = {each.key: {"values": len(each.values), "multiple": each.multiple} for each in attributes}
    return {
        "stage": "attributes",
        "net": "attributes",
        "options": {"questions": questions, "backbone": "resnet18", "size": SIDE},
        "classes": {each.key: [value.key for value in each.values] for each in attributes},
        "multiple": [each.key for each in attributes if each.multiple],
        "inputs": {**INPUTS, "crop": "region", "margin": 0.1},
        **more,
    }


def segmentation_card(**more: Any) -> dict[str, Any]:
    """The card of a small net that finds garments."""
    options = {
        "classes": 4,
        "backbone": "resnet18",
        "min_size": 128,
        "max_size": 128,
        "anchor_sizes": [8, 16, 32, 64, 128],
        "canonical_size": 64,
        "width": 64,
        "hidden": 64,
    }
    return {
        "stage": "segmentation",
        "net": "maskrcnn",
        "options": options,
        "classes": ["outer", "top", "bottom", "dress"],
        "inputs": {"size": [128, 128], "mean": [0, 0, 0], "std": [1, 1, 1], "fit": "pad"},
        **more,
    }


def write_model(path: Path, card: Mapping[str, Any], seed: int = 0) -> Path:
    """A model file with random weights of that seed."""
    torch.manual_seed(seed)
    net = create_model(card["net"], **card["options"])
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, path, metadata={"crowd": json.dumps(card)})
    return path


def write_card(path: Path, card: Mapping[str, Any], seed: int = 0) -> Path:
    """A model file that is told apart by its seed and has a card, but no weights worth the name."""
    save_file({"seed": torch.tensor([seed])}, path, metadata={"crowd": json.dumps(card)})
    return path


def add_card(rt: Runtime, folder: Path, card: Mapping[str, Any], seed: int = 0, name: str = "small") -> int:
    """Register such a file; its id."""
    return _add(rt, write_card(folder / f"{name}-{seed}.safetensors", card, seed), name)


def add_model(rt: Runtime, folder: Path, card: Mapping[str, Any], seed: int = 0, name: str = "small") -> int:
    """Register a model of random weights; its id."""
    return _add(rt, write_model(folder / f"{name}-{seed}.safetensors", card, seed), name)


def _add(rt: Runtime, path: Path, name: str) -> int:
    with path.open("rb") as file:
        kept = service.keep_file(rt.storage, file)
    model_id: int = service.add(rt, kept, name, by=None, now=clock.now()).id
    return model_id


def promote(rt: Runtime, model_id: int) -> None:
    """Have it serve."""
    with rt.db.begin() as conn:
        service.promote(conn, model_id, by=None, why="because", now=clock.now())


def give_pictures(rt: Runtime) -> None:
    """A working image for every image that has none: of one colour, which its id decides."""
    with rt.db.read() as conn:
        images = conn.execute(sa.select(Image.id, Image.sha256, Image.width, Image.height)).all()
    for image in images:
        key = files_of(image.sha256).working
        if not rt.storage.exists(key):
            rt.storage.put(key, picture(image.id, (image.width, image.height)))


def picture(number: int, size: tuple[int, int]) -> bytes:
    """A JPEG of one colour."""
    out = BytesIO()
    colour = (number * 67 % 256, number * 131 % 256, number * 29 % 256)
    Picture.new("RGB", size, colour).save(out, "JPEG", quality=95)
    return out.getvalue()


def candidates_of(rt: Runtime, model_id: int) -> dict[int, Any]:
    """What a model made, by task."""
    with rt.db.read() as conn:
        rows = conn.execute(
            sa.select(Candidates.task_id, Candidates.value).where(Candidates.model_id == model_id)
        )
        return {row.task_id: row.value for row in rows}


def jobs_of(rt: Runtime, model_id: int) -> dict[int, Any]:
    """The jobs of a model, by task."""
    with rt.db.read() as conn:
        rows = conn.execute(
            sa.select(*CandidateJob.__table__.columns).where(CandidateJob.model_id == model_id)
        )
        return {row.task_id: row for row in rows}


def showings(rt: Runtime) -> list[Any]:
    """Everything that was shown or withheld, by task."""
    with rt.db.read() as conn:
        return list(
            conn.execute(sa.select(*Showing.__table__.columns).order_by(Showing.task_id, Showing.token))
        )


def uses(rt: Runtime) -> list[Any]:
    """What every answer took, by task."""
    with rt.db.read() as conn:
        columns = CandidateUse.__table__.columns
        return list(conn.execute(sa.select(*columns).order_by(CandidateUse.task_id, CandidateUse.token)))


def with_policy(rt: Runtime, **changes: Any) -> Runtime:
    """The same system under a policy with these changes."""
    return replace(rt, policy=replace(rt.policy, **changes))


def hear_at_once(rt: Runtime) -> None:
    """Have this process know of a promotion at once, and show its candidates, as others do after seconds."""
    shelf = Shelf(remember=0.0)
    observer = Observer(shelf)
    handover.PROPOSERS[:] = [Waiter(rt.policy, shelf).candidates]
    answers.ANSWERED_HOOKS[:] = [observer.answered]
    moves.BOUNCED_HOOKS[:] = [observer.bounced]


def make(engine: Engine, model_id: int, stage: Stage, values: Callable[[Wanted], Any]) -> list[int]:
    """Have everything pending made, as a line of hands would; the tasks."""
    with engine.db.begin() as conn:
        taken = pending.take(conn, stage, 1000, engine.policy, engine.now, Returned())
        assert taken is not None
        made = {wanted.task_id: values(wanted) for wanted in taken.tasks}
        pending.finish(conn, model_id, made, {}, engine.policy, engine.now)
    return list(made)


def claim(engine: Engine, worker_id: int, stage: Stage | None = None) -> dict[str, Any]:
    """A claimed task as its holder sees it."""
    claimant = leases.Claimant(worker_id, engine.taxonomy_id)
    with engine.db.begin() as conn:
        task = leases.claim(conn, claimant, engine.policy, engine.now, stage)
        assert not isinstance(task, QueueState), task
        return handover.task_view(conn, task)


def submit(
    engine: Engine, worker_id: int, task: Mapping[str, Any], result: Any, seconds: float | None = None
) -> str | None:
    """Answer a claimed task; the code of what refused it."""
    given = answers.Given(task["lease"]["token"], Kind.SUBMIT, result, seconds)
    with engine.db.begin() as conn:
        refused = answers.answer(conn, worker_id, task["id"], given, engine.rulebook, engine.now)
    return refused.code if refused else None


def waiting_for_styles(rt: Runtime, count: int) -> list[int]:
    """So many tasks of styles, each of an image of its own colour; the tasks in the order of claims."""
    engine = Engine(rt)
    for _ in range(count):
        engine.add_image()
    with rt.db.begin() as conn:
        conn.execute(sa.update(Task).values(stage=Stage.STYLES))
        tasks = conn.execute(sa.select(Task.id).order_by(Task.id)).scalars().all()
    give_pictures(rt)
    return list(tasks)


def environment(rt: Runtime, **more: str) -> dict[str, str]:
    """What a process of this system needs to know."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CROWD_")}
    return {
        **kept,
        "CROWD_DATA_DIR": str(rt.settings.data_dir),
        "CROWD_STORAGE": rt.settings.storage,
        "DATABASE_URL": rt.settings.database_url,
        "REDIS_URL": str(rt.settings.redis_url),
        "OMP_NUM_THREADS": "1",
        **more,
    }
