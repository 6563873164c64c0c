"""A crew that takes turns: in process by the pure rules, and through the API, to the same last digit."""

import dataclasses
import functools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowd.commands.simulate import simulate
from crowd.policy import Policy, Stage, load_policy
from crowd.simulation.line.comparing import Outcome, Population, differences, in_process
from crowd.taxonomy import load_taxonomy

POLICY = load_policy()
TAXONOMY = load_taxonomy()
PEOPLE = Population(seed=5, workers=12, images=10, careless=0.3)


@functools.cache
def run(population: Population = PEOPLE) -> Outcome:
    return in_process(population, POLICY, TAXONOMY)


def aging(half_life: float) -> Policy:
    return dataclasses.replace(POLICY, quality=dataclasses.replace(POLICY.quality, half_life=half_life))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which a comparison that forgot to make a world of its own would fail."""
    elsewhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere", "CROWD_GOLD_SHARE": "0.5"}
    return {**os.environ, **elsewhere, "CROWD_DATA_DIR": str(tmp_path)}


def test_a_seed_gives_the_same_scores_through_the_api_as_in_process(environment: dict[str, str]) -> None:
    words = ("simulate", "--workers", "12", "--images", "5", "--seed", "5", "--careless", "0.3", "--compare")
    ended = subprocess.run(
        [sys.executable, "-m", "crowd", *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the same to the last digit" in ended.stdout


def test_the_line_in_process_leads_every_image_to_an_end_and_scores_who_worked() -> None:
    outcome = run()
    ends = Counter(state for state, _ in outcome.images.values())
    assert ends["accepted"] >= 8
    assert {step.stage for step in outcome.steps} >= {
        str(stage) for stage in Stage if stage is not Stage.ADJUDICATION
    }
    assert any(step.did.startswith("sent back") for step in outcome.steps)
    assert all(0.0 < told["lower"] < told["score"] < told["upper"] < 1.0 for told in outcome.scores.values())


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    assert differences(run(), in_process(PEOPLE, POLICY, TAXONOMY)) == []
    other = run(dataclasses.replace(PEOPLE, seed=6))
    assert any(sentence.startswith("step ") for sentence in differences(run(), other))


def test_a_number_of_the_policy_that_differs_a_little_is_seen_in_the_scores() -> None:
    slightly = in_process(PEOPLE, aging(POLICY.quality.half_life + 1e-9), TAXONOMY)
    found = differences(run(), slightly)
    assert found
    assert all(sentence.startswith("bot ") for sentence in found)


def test_labels_that_differ_in_one_image_are_seen() -> None:
    state, labels = run().images[4]
    changed = {**labels, "styles": {"styles": ["resort"], "unsure": True}}
    planted = dataclasses.replace(run(), images={**run().images, 4: (state, changed)})
    assert differences(run(), planted) == ["image 4: in process and through the API labels differ"]


def test_a_score_that_only_one_run_knows_is_seen() -> None:
    key = next(iter(run().scores))
    fewer = {other: told for other, told in run().scores.items() if other != key}
    assert len(differences(run(), dataclasses.replace(run(), scores=fewer))) == 1


def test_nobody_in_process_sits_where_the_flow_forbids_it() -> None:
    labelled: dict[int, set[int]] = {}
    seats: dict[tuple[int, int, str], list[int]] = {}
    for step in run().steps:
        if step.did.startswith(("sent back", "released")):
            continue
        if step.stage in ("segmentation", "attributes", "styles"):
            labelled.setdefault(step.image, set()).add(step.worker)
        else:
            assert step.worker not in labelled.get(step.image, set()), step
            seats.setdefault((step.image, step.round, step.stage), []).append(step.worker)
    assert all(len(people) == len(set(people)) for people in seats.values())


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--images", "3", "--url", "http://127.0.0.1:9"), "--url"),
        (("--images", "3", "--json"), "--json"),
        ((), "--images"),
    ],
)
def test_what_has_no_meaning_in_a_world_of_its_own_is_refused(words: tuple[str, ...], option: str) -> None:
    ended = CliRunner().invoke(simulate, ["--workers", "6", "--compare", *words])
    assert ended.exit_code == 2
    assert option in ended.output
