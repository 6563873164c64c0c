"""`crowd simulate --compare`: a seed's run by the rules in memory, and through the API of its own system."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from crowd.commands.opening import open_runtime
from crowd.core import clock
from crowd.core.config import load_settings
from crowd.policy import PolicyError, load_policy
from crowd.simulation.client import Unexpected, Unreachable, open_http
from crowd.simulation.crew import CrewTooSmall
from crowd.simulation.line.comparing import Outcome, Population, differences, in_process, through_api
from crowd.standalone import StandaloneFailed, start_standalone
from crowd.taxonomy import TaxonomyError, load_taxonomy
from crowd.tiers.rebuild import refit

# The system of a comparison is a world of its own, and goes by its own policy file.
ELSEWHERE = (
    "DATABASE_URL",
    "REDIS_URL",
    "CROWD_STORAGE",
    "CROWD_GOLD_SHARE",
    "CROWD_LEASE_SECONDS",
    "CROWD_RESERVE_SECONDS",
)
# What depends on the hour, or on dice that are not the seed's: who is at work, and where gold is hidden.
WITHOUT = {"experts": {"reserve_seconds": 0}, "gold": {"share_percent": 0, "new_share_percent": 0}}


def compare(population: Population, admin_token: Callable[[], str]) -> None:
    """Run the population both ways, and say where they differ. Exits with 1 if they do."""
    try:
        with tempfile.TemporaryDirectory(prefix="crowd-compare-") as folder, _world(Path(folder)) as data_dir:
            pure, real = _both(population, data_dir, admin_token)
    except CrewTooSmall as error:
        raise click.BadParameter(str(error), param_hint="--workers") from None
    except (PolicyError, TaxonomyError, StandaloneFailed, Unexpected, Unreachable) as failure:
        raise click.ClickException(str(failure)) from None
    found = differences(pure, real)
    for sentence in found:
        click.echo(sentence)
    judged = sum(told["n"] for told in pure.scores.values())
    click.echo(
        f"seed {population.seed}: {population.workers} workers, {population.images} images, "
        f"{len(pure.steps)} steps, {len(pure.scores)} scores from {judged} judged answers: "
        f"{'NOT the same' if found else 'the same to the last digit'} in process and through the API"
    )
    if found or not pure.scores:
        sys.exit(1)


def _both(population: Population, data_dir: Path, admin_token: Callable[[], str]) -> tuple[Outcome, Outcome]:
    settings = load_settings()
    policy, taxonomy = load_policy(settings.policy_file), load_taxonomy(settings.taxonomy_file)
    pure = in_process(population, policy, taxonomy)
    with start_standalone(data_dir) as url, open_http(url, 4) as http:
        real = through_api(population, http, admin_token(), _refit)
    return pure, real


def _refit() -> None:
    """Fit severity, and reckon every score with it, as each night."""
    with open_runtime() as rt:
        refit(rt.db, rt.policy, clock.now())


@contextmanager
def _world(folder: Path) -> Iterator[Path]:
    """An environment that names a data dir of its own, and a policy file; the old one after the block."""
    before = dict(os.environ)
    try:
        policy_file = folder / "policy.yaml"
        policy_file.write_text(yaml.safe_dump(_policy(before.get("CROWD_POLICY"))), encoding="utf-8")
        for name in ELSEWHERE:
            os.environ.pop(name, None)
        data_dir = folder / "data"
        os.environ.update(CROWD_DATA_DIR=str(data_dir), CROWD_POLICY=str(policy_file))
        yield data_dir
    finally:
        os.environ.clear()
        os.environ.update(before)


def _policy(own: str | None) -> dict[str, Any]:
    """The installation's own policy file, if it has one, without what a seed does not decide."""
    if own:
        load_policy(Path(own))
    document = yaml.safe_load(Path(own).read_text(encoding="utf-8")) if own else {}
    for section, numbers in WITHOUT.items():
        document[section] = {**(document.get(section) or {}), **numbers}
    return dict(document)
