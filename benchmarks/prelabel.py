"""How fast candidates are made: the production line beside the model alone, and beside one image a job.

    python -m benchmarks.prelabel [--device cuda] [--net resnet50] [--size 224] [--images 512] [--rounds 3]
    python -m benchmarks.prelabel --steps [--size 448] [--thumbnail 0]

Everything is real but the weights, which are random: working images of 800 px, tasks in a database of its own
(SQLite), a model in the registry, decoding and writing included. Rounds of the ways alternate, so that what
the machine does besides meets all of them; the ratios are of medians. With `--steps` nothing is timed side by
side: one thread goes through the backlog step by step, and what each costs the processor is told.
"""

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import redis
import sqlalchemy as sa
import torch
from PIL import Image as Picture
from rq import Queue, SimpleWorker
from safetensors.torch import save_file

from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.embedded import redis_address, redis_answers, redis_command
from crowd.core.logs import configure_logs
from crowd.core.migrate import upgrade
from crowd.images.derivatives import THUMBNAIL_QUALITY
from crowd.images.files import files_of
from crowd.images.models import Image, ImageState, Rights, Supplier
from crowd.ml import pending, queries, service
from crowd.ml.card import parse_card
from crowd.ml.nets import create_model
from crowd.ml.pending import Returned
from crowd.ml.predict import Predictor, load_predictor
from crowd.ml.prelabel import Line
from crowd.policy import Stage
from crowd.runtime import Runtime, build_runtime
from crowd.tasks import seat_queries

SIDE = 800
BATCH = 32
PICTURES = 64
GOAL_ALONE, GOAL_SINGLE = 0.9, 1.7
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Setup:
    """What is measured on what."""

    device: str
    net: str
    size: int
    images: int
    rounds: int
    batch: int | None
    decoders: int | None
    thumbnail: int


@dataclass(frozen=True)
class Bench:
    """A system with a backlog, and its model."""

    rt: Runtime
    setup: Setup
    model: Any
    redis: redis.Redis

    def predictor(self, batch: int = BATCH) -> Predictor:
        """The model, loaded afresh."""
        path = self.rt.storage.root / self.model.file
        card = parse_card(self.model.card)
        found = load_predictor(path, self.model.sha256, card, self.rt.taxonomy, self.setup.device, batch)
        assert found.batch == batch
        return found


def measure_alone(bench: Bench) -> Callable[[], float]:
    """Images a second of the net alone, at a batch of 32 that lies on the device already."""
    predictor = bench.predictor()
    side = bench.setup.size
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), np.uint8)
    pixels = torch.from_numpy(noise).to(bench.setup.device)
    batches = max(4, bench.setup.images // BATCH)

    @torch.inference_mode()
    def run() -> float:
        net, kind = predictor.net, predictor.device.type
        x = (pixels.permute(0, 3, 1, 2).float() - predictor._mean) * predictor._scale
        began = time.perf_counter()
        for _ in range(batches):
            with torch.autocast("cuda", torch.float16, enabled=kind == "cuda"):
                net(x)
        _synchronise(kind)
        return batches * BATCH / (time.perf_counter() - began)

    return run


def measure_line(bench: Bench) -> Callable[[], float]:
    """Images a second of the line: taken, decoded, predicted, written."""
    setup = bench.setup
    line = Line(bench.rt, device=setup.device, batch=setup.batch, decoders=setup.decoders)

    def run() -> float:
        forget(bench)
        began = time.perf_counter()
        tally = line.run()
        spent = time.perf_counter() - began
        assert tally.made == setup.images, tally
        return tally.made / spent

    return run


# What a job of one image does. Jobs are named, and found in the module of that name, be it this one or not.
SINGLE: list[Callable[[], None]] = []


def one_image() -> None:
    """A job: one image."""
    SINGLE[-1]()


def measure_single(bench: Bench) -> Callable[[], float]:
    """Images a second of the simplest worker that keeps its model and does not fork: one image an RQ job."""
    predictor = bench.predictor(1)
    line = Line(bench.rt, device=bench.setup.device, batch=1)
    rt, count, returned = bench.rt, min(bench.setup.images, 256), Returned()
    queue = Queue("one-image-a-job", connection=bench.redis)
    jobs = importlib.import_module("benchmarks.prelabel")

    def make_one() -> None:
        with rt.db.begin() as conn:
            taken = pending.take(conn, Stage.STYLES, 1, rt.policy, clock.now(), returned)
        assert taken is not None
        (wanted,) = taken.tasks
        ready = line.prepare(predictor, wanted)
        (said,) = predictor.collect(predictor.launch([ready]))
        made = {wanted.task_id: predictor.candidates(wanted, said)}
        with rt.db.begin() as conn:
            pending.finish(conn, bench.model.id, made, {}, rt.policy, clock.now())

    def run() -> float:
        forget(bench)
        jobs.SINGLE[:] = [make_one]
        for _ in range(count):
            queue.enqueue("benchmarks.prelabel.one_image")
        worker = SimpleWorker([queue], connection=bench.redis)
        began = time.perf_counter()
        worker.work(burst=True, logging_level="ERROR")
        spent = time.perf_counter() - began
        with rt.db.read() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM candidates").scalar_one() == count
        return count / spent

    return run


def measure_decoding(bench: Bench) -> Callable[[], float]:
    """Images a second that the decoders alone could deliver."""
    setup = bench.setup
    line = Line(bench.rt, device=setup.device, batch=BATCH, decoders=setup.decoders)
    predictor = bench.predictor()

    def run() -> float:
        forget(bench)
        wanted: list[Any] = []
        with bench.rt.db.begin() as conn:
            while len(wanted) < setup.images:
                taken = pending.take(conn, Stage.STYLES, 1000, bench.rt.policy, clock.now(), Returned())
                assert taken is not None
                wanted += taken.tasks
        began = time.perf_counter()
        for future in [line.decode(predictor, each) for each in wanted]:
            future.result()
        return len(wanted) / (time.perf_counter() - began)

    return run


def measure_steps(bench: Bench) -> dict[str, float]:
    """Milliseconds of the processor that an image costs, by step, in batches of 32."""
    predictor, rt, policy = bench.predictor(), bench.rt, bench.rt.policy
    line = Line(rt, device=bench.setup.device, batch=BATCH)
    spent: dict[str, float] = dict.fromkeys(("take", "decode", "net", "rank", "write"), 0.0)

    def step(name: str, work: Callable[..., Any], *given: Any) -> Any:
        began = time.process_time()
        result = work(*given)
        spent[name] += time.process_time() - began
        return result

    def take() -> Any:
        with rt.db.begin() as conn:
            taken = pending.take(conn, Stage.STYLES, BATCH, policy, clock.now(), Returned())
        return taken.tasks if taken else ()

    def write(made: dict[int, Any]) -> None:
        with rt.db.begin() as conn:
            pending.finish(conn, bench.model.id, made, {}, policy, clock.now())

    def decode(wanted: Sequence[Any]) -> list[Any]:
        return [line.prepare(predictor, each) for each in wanted]

    def rank(wanted: Sequence[Any], said: Sequence[Any]) -> dict[int, Any]:
        return {
            each.task_id: predictor.candidates(each, answer)
            for each, answer in zip(wanted, said, strict=True)
        }

    for _ in range(2):
        # The first time warms everything up.
        forget(bench)
        spent.update(dict.fromkeys(spent, 0.0))
        while wanted := step("take", take):
            launched = step("net", predictor.launch, step("decode", decode, wanted))
            step("write", write, step("rank", rank, wanted, predictor.collect(launched)))
    line.close()
    return {name: round(1000 * seconds / bench.setup.images, 2) for name, seconds in spent.items()}


def forget(bench: Bench) -> None:
    """Have everything pending again: in a benchmark's own database, history may be removed."""
    with bench.rt.db.begin() as conn:
        for table in ("candidates", "candidate_jobs", "candidate_marks"):
            conn.exec_driver_sql(f"DELETE FROM {table}")


@contextlib.contextmanager
def built(setup: Setup) -> Iterator[Bench]:
    """The system for the time of the block, with a Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="crowd-bench-") as folder:
        server = subprocess.Popen(redis_command(Path(folder)))
        try:
            address = redis_address(Path(folder))
            while not redis_answers(address):
                assert server.poll() is None, "the embedded Redis did not come up"
                time.sleep(0.05)
            bench = build(Path(folder) / "system", setup, redis.Redis.from_url(address))
            yield bench
            bench.rt.db.close()
        finally:
            server.terminate()
            server.wait()


def build(folder: Path, setup: Setup, connection: redis.Redis) -> Bench:
    """A system in `folder` with so many images waiting for styles, and a model that serves."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'crowd.sqlite'}",
        redis_url=None,
        storage=str(folder / "storage"),
        secret_key="only for measuring",
    )
    upgrade(settings.database_url)
    rt = build_runtime(settings)
    if setup.thumbnail:
        rt = replace(rt, policy=replace(rt.policy, thumbnail_side=setup.thumbnail))
    with rt.db.begin() as conn:
        # The only trigger that keeps `forget` from its work.
        conn.exec_driver_sql("DROP TRIGGER candidates_no_delete")
    _add_images(rt, setup)
    model_id = _add_model(rt, folder, setup)
    with rt.db.read() as conn:
        model = queries.model(conn, model_id)
    return Bench(rt, setup, model, connection)


def _add_images(rt: Runtime, setup: Setup) -> None:
    count = setup.images
    files = [_photograph(seed) for seed in range(min(PICTURES, count))]
    small = [_thumbnail(file, setup.thumbnail) for file in files] if setup.thumbnail else []
    long_ago = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
    with rt.db.begin() as conn:
        supplier = {"name": "a shop", "created_at": long_ago}
        supplier_id = conn.execute(sa.insert(Supplier).values(supplier).returning(Supplier.id)).scalar_one()
        for number in range(count):
            sha256 = number.to_bytes(32)
            values = {
                "supplier_id": supplier_id,
                "file_name": f"{number}.jpg",
                "rights": Rights.OWNED,
                "sha256": sha256,
                "state": ImageState.IN_WORK,
                "width": SIDE,
                "height": SIDE,
                "created_at": long_ago,
            }
            row = conn.execute(sa.insert(Image).values(values).returning(Image.id, Image.priority)).one()
            seat_queries.open_task(conn, row, Stage.STYLES, 1, long_ago)
            rt.storage.path(files_of(sha256).working).write_bytes(files[number % len(files)])
            if small:
                rt.storage.path(files_of(sha256).thumbnail).write_bytes(small[number % len(small)])


def _photograph(seed: int) -> bytes:
    """A JPEG of 800 px about as large and as detailed as a photograph."""
    dice = np.random.default_rng(seed)
    coarse = Picture.fromarray(dice.integers(0, 256, (50, 50, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Picture.Resampling.BICUBIC), np.int16)
    grain = dice.normal(0, 8, (SIDE, SIDE, 3))
    out = BytesIO()
    Picture.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _thumbnail(photograph: bytes, side: int) -> bytes:
    """What intake keeps beside it."""
    out = BytesIO()
    with Picture.open(BytesIO(photograph)) as picture:
        small = picture.resize((side, side), Picture.Resampling.LANCZOS)
    small.save(out, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return out.getvalue()


def _add_model(rt: Runtime, folder: Path, setup: Setup) -> int:
    styles = [style.key for style in rt.taxonomy.styles]
    options = {"labels": len(styles), "backbone": setup.net, "size": setup.size}
    card = {
        "stage": "styles",
        "net": "baseline",
        "options": options,
        "classes": styles,
        "inputs": {"size": [setup.size, setup.size], **IMAGENET, "fit": "squash", "crop": "image"},
    }
    net = create_model("baseline", **options)
    path = folder / "model.safetensors"
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, path, {"crowd": json.dumps(card)})
    with path.open("rb") as file:
        kept = service.keep_file(rt.storage, file)
    model_id: int = service.add(rt, kept, "measured", by=None, now=clock.now()).id
    with rt.db.begin() as conn:
        service.promote(conn, model_id, by=None, why="", now=clock.now())
    return model_id


WAYS: dict[str, Callable[[Bench], Callable[[], float]]] = {
    "model alone, batch 32": measure_alone,
    "line": measure_line,
    "one image a job": measure_single,
    "decoding alone": measure_decoding,
}


def measure(
    setup: Setup, say: Callable[[str], None]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Images a second of each way, round by round; and the processor's time of an image (ms)."""
    with built(setup) as bench:
        runs = {name: prepare(bench) for name, prepare in WAYS.items()}
        for name, run in runs.items():
            run()
            say(f"warmed up: {name}")
        rates: dict[str, list[float]] = {name: [] for name in runs}
        costs: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(setup.rounds):
            for name, run in runs.items():
                processor, began = time.process_time(), time.perf_counter()
                rates[name].append(run())
                images = rates[name][-1] * (time.perf_counter() - began)
                costs[name].append(1000 * (time.process_time() - processor) / images)
                told = f"{rates[name][-1]:.1f} images/s, {costs[name][-1]:.1f} ms of processor each"
                say(f"round {number + 1}: {name}: {told}")
    return rates, costs


def report(setup: Setup, rates: dict[str, list[float]], costs: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and ratios."""
    median = {name: statistics.median(values) for name, values in rates.items()}
    cost = {name: statistics.median(values) for name, values in costs.items()}
    alone, line, single = (median[name] for name in list(WAYS)[:3])
    device = torch.cuda.get_device_name() if setup.device.startswith("cuda") else f"{os.cpu_count()} cores"
    return {
        "device": device,
        "net": setup.net,
        "size": setup.size,
        "images": setup.images,
        "torch": torch.__version__,
        "images_per_second": {name: round(value, 1) for name, value in median.items()},
        "processor_ms_per_image": {name: round(value, 1) for name, value in cost.items()},
        "line_of_model_alone": round(line / alone, 3),
        "line_of_one_image_a_job": round(line / single, 3),
        "goals_met": line / alone >= GOAL_ALONE and line / single >= GOAL_SINGLE,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.prelabel", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--net", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, help="Of the line; found by itself.")
    parser.add_argument("--decoders", type=int)
    parser.add_argument("--thumbnail", type=int, default=256, help="Side of thumbnails in px; 0: none.")
    parser.add_argument("--steps", action="store_true", help="What each step costs the processor.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    options = {name: value for name, value in vars(given).items() if name not in ("json", "steps")}
    setup = Setup(**options)
    configure_logs("warning")
    if given.steps:
        with built(setup) as bench:
            print(json.dumps({"processor_ms_per_image": measure_steps(bench)}, indent=1))
        return 0
    found = report(setup, *measure(setup, lambda line: print(line, file=sys.stderr, flush=True)))
    text = json.dumps(found, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text)
    return 0 if found["goals_met"] else 1


def _synchronise(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
