"""Job workers that make candidates, as real processes: killed, doubled, forgotten, given a new model."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
import torch
from rq import Queue

from crowd.core import clock
from crowd.images.files import files_of
from crowd.images.models import Image
from crowd.ml import service
from crowd.ml.card import parse_card
from crowd.ml.models import CandidateJob
from crowd.ml.pending import Wanted
from crowd.ml.predict import load_predictor
from crowd.ml.prelabel import Line
from crowd.runtime import Runtime
from crowd.tasks.models import CountDelta, Task
from tests.ml.shelf import (
    add_model,
    candidates_of,
    environment,
    jobs_of,
    promote,
    styles_card,
    waiting_for_styles,
)
from tests.tasks.engine import Engine

SECONDS = 240


@contextmanager
def worker(rt: Runtime, *queues: str, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A job worker process, killed in the end."""
    command = [sys.executable, "-m", "crowd.jobworker", "--queues", *queues]
    process = subprocess.Popen(command, env=environment(rt, **more))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def prelabel(rt: Runtime, *words: str, **more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "crowd", "prelabel", "--once", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(rt, **more), stdout=pipe, stderr=pipe, text=True)


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def model(rt: Runtime, tmp_path: Path) -> int:
    """A model of styles that serves."""
    model_id = add_model(rt, tmp_path, styles_card())
    promote(rt, model_id)
    return model_id


def assert_each_has_its_own(rt: Runtime, model_id: int, tasks: list[int], sample: int = 12) -> None:
    """Every task has candidates, and they are what the model says of that task's image."""
    torch.set_num_threads(1)
    made = candidates_of(rt, model_id)
    assert sorted(made) == sorted(tasks)
    with rt.db.read() as conn:
        row = service.find(conn, model_id)
        images = conn.execute(
            sa.select(Task.id, Image.id.label("image_id"), Image.sha256, Image.width, Image.height)
            .join_from(Task, Image, Image.id == Task.image_id)
            .where(Task.id.in_(tasks[:: max(1, len(tasks) // sample)]))
        ).all()
    path = rt.storage.root / row.file
    predictor = load_predictor(path, row.sha256, parse_card(row.card), rt.taxonomy, "cpu")
    seen = set()
    for image in images:
        wanted = Wanted(image.id, image.image_id, image.sha256, image.width, image.height)
        ready = predictor.prepare(wanted, rt.storage.root / files_of(image.sha256).working)
        (said,) = predictor.collect(predictor.launch([ready]))
        expected = predictor.candidates(wanted, said)["styles"]
        found = {entry["value"]: entry["score"] for entry in made[image.id]["styles"]}
        assert found == pytest.approx({entry["value"]: entry["score"] for entry in expected}, abs=0.002)
        seen.add(str(expected))
    assert len(seen) > len(images) // 2, "their images must differ for this to tell anything"


def test_a_worker_makes_candidates_for_all_that_waits(rt: Runtime, redis_url: str, model: int) -> None:
    tasks = waiting_for_styles(rt, 40)
    with worker(rt, "candidates"):
        assert rt.queue.nudge("candidates")
        assert until(lambda: len(candidates_of(rt, model)) == 40)
    assert_each_has_its_own(rt, model, tasks)
    assert jobs_of(rt, model) == {}


def test_a_worker_killed_in_mid_batch_costs_nothing_but_time(rt: Runtime, redis_url: str, model: int) -> None:
    tasks = waiting_for_styles(rt, 160)
    with worker(rt, "candidates") as process:
        assert rt.queue.nudge("candidates")
        assert until(lambda: bool(jobs_of(rt, model)))
        until(lambda: bool(candidates_of(rt, model)), 20)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    left = jobs_of(rt, model)
    assert left, "it was to die with tasks in its hands"
    with rt.db.begin() as conn:
        conn.execute(sa.update(CandidateJob).values(due_at=clock.now()))
    with worker(rt, "candidates", "upkeep"):
        assert until(lambda: len(candidates_of(rt, model)) == 160)
        assert until(lambda: jobs_of(rt, model) == {})
    assert_each_has_its_own(rt, model, tasks)


def test_a_flushed_redis_costs_seconds(rt: Runtime, redis_url: str, model: int) -> None:
    tasks = waiting_for_styles(rt, 40)
    assert rt.queue.nudge("candidates")
    connection = redis.Redis.from_url(redis_url)
    connection.flushall()
    assert len(Queue("candidates", connection=connection)) == 0
    with worker(rt, "upkeep", "candidates"):
        assert until(lambda: len(candidates_of(rt, model)) == 40)
    assert_each_has_its_own(rt, model, tasks)


def test_two_workers_share_one_backlog(rt: Runtime, model: int) -> None:
    """Neither may make more than half, so each has its share however late the other one starts."""
    tasks = waiting_for_styles(rt, 160)
    both = [prelabel(rt, "--batch", "8", "--limit", "80") for _ in range(2)]
    said = [process.communicate(timeout=SECONDS) for process in both]
    assert [out for out, _ in said] == ["80 tasks have candidates now, 0 attempts failed\n"] * 2, said
    assert_each_has_its_own(rt, model, tasks)


def test_two_lines_at_the_same_time_make_each_task_once(rt: Runtime, model: int) -> None:
    tasks = waiting_for_styles(rt, 160)
    lines = [Line(rt, device="cpu", batch=4, decoders=1) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        shares = [tally.made for tally in threads.map(Line.run, lines)]
    for line in lines:
        line.close()
    assert sum(shares) == 160
    assert min(shares) > 0
    assert_each_has_its_own(rt, model, tasks)


def test_a_new_model_is_picked_up_in_mid_run(rt: Runtime, redis_url: str, model: int, tmp_path: Path) -> None:
    tasks = waiting_for_styles(rt, 200)
    newer = add_model(rt, tmp_path, styles_card(), seed=1)
    with worker(rt, "candidates", "upkeep") as process:
        assert until(lambda: bool(candidates_of(rt, model)))
        promote(rt, newer)
        assert until(lambda: len(candidates_of(rt, newer)) == 200)
        assert process.poll() is None
    assert_each_has_its_own(rt, newer, tasks)
    older = candidates_of(rt, model)
    assert sorted(older) == tasks[: len(older)], "in the order of claims, and each once"


def test_a_broken_image_fails_alone(rt: Runtime, model: int) -> None:
    tasks = waiting_for_styles(rt, 20)
    with rt.db.read() as conn:
        of_task = sa.select(Image.sha256).join(Task, Task.image_id == Image.id).where(Task.id == tasks[7])
        sha256 = conn.execute(of_task).scalar_one()
    (rt.storage.root / files_of(sha256).working).write_bytes(b"this is no picture")
    process = prelabel(rt)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert out == "19 tasks have candidates now, 1 attempts failed\n"
    assert_each_has_its_own(rt, model, [task for task in tasks if task != tasks[7]])
    (job,) = jobs_of(rt, model).values()
    assert (job.task_id, job.attempts) == (tasks[7], 1)
    assert "decoded" in job.error
    assert job.due_at is not None


def test_a_storage_that_is_away_gives_up_no_backlog(rt: Runtime, model: int) -> None:
    waiting_for_styles(rt, 100)
    working = rt.storage.root / "working"
    working.rename(working.with_name("unmounted"))
    process = prelabel(rt, "--batch", "8")
    process.communicate(timeout=SECONDS)
    assert len(jobs_of(rt, model)) < 60, "it stopped when a whole batch failed"
    working.with_name("unmounted").rename(working)
    with rt.db.begin() as conn:
        conn.execute(sa.update(CandidateJob).values(due_at=clock.now(), attempts=0))
    process = prelabel(rt)
    process.communicate(timeout=SECONDS)
    assert len(candidates_of(rt, model)) == 100


def test_a_limit_is_kept(rt: Runtime, model: int) -> None:
    tasks = waiting_for_styles(rt, 50)
    process = prelabel(rt, "--limit", "7")
    out, err = process.communicate(timeout=SECONDS)
    assert out.startswith("7 tasks"), err
    assert sorted(candidates_of(rt, model)) == tasks[:7]


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """The environment of processes in which torch cannot be imported."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}"}


def test_without_torch_a_worker_of_the_queue_says_what_is_missing(
    rt: Runtime, redis_url: str, without_torch: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "crowd.jobworker", "--queues", "candidates"]
    env = environment(rt, **without_torch)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert "crowd[ml]" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_torch_prelabel_says_what_is_missing(rt: Runtime, without_torch: dict[str, str]) -> None:
    process = prelabel(rt, **without_torch)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert "torch is not installed" in err
    assert "Traceback" not in err


def test_without_torch_the_other_queues_are_worked_on(
    rt: Runtime, redis_url: str, without_torch: dict[str, str]
) -> None:
    Engine(rt).add_image()

    def unfolded() -> int:
        with rt.db.read() as conn:
            return int(conn.execute(sa.select(sa.func.count()).select_from(CountDelta)).scalar_one())

    assert unfolded() > 0
    with worker(rt, "upkeep", **without_torch):
        assert until(lambda: unfolded() == 0)


SERVE = """
import sys
from crowd.app import create_app
app = create_app()
client = app.test_client()
headers = {"Authorization": "Bearer " + sys.argv[1]}
claimed = client.post("/api/v1/tasks/claim", json={}, headers=headers)
assert claimed.status_code in (200, 204), claimed.text
assert client.get("/api/v1/openapi.json", headers=headers).status_code == 200
assert client.get("/api/v1/models", headers=headers).status_code == 403
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "numpy.testing", "safetensors"}, loaded
print("served", claimed.status_code)
"""


def test_the_web_process_never_imports_torch(rt: Runtime, model: int, make_worker: Any) -> None:
    waiting_for_styles(rt, 1)
    _, token = make_worker("expert")
    command = [sys.executable, "-c", SERVE, token]
    done = subprocess.run(command, env=environment(rt), capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout == "served 200\n", done.stderr
