"""What a run came to: the figures, as numbers, as a JSON document, and as tables for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from crowd.policy import Stage
from crowd.simulation.faults import find_faults
from crowd.simulation.ledger import Ledger
from crowd.simulation.recovery import Recovery
from crowd.simulation.truth import Truth
from crowd.tasks.flow import LABELLING

PERCENTILES = (50, 95, 99)
ALL = "all"


@dataclass(frozen=True, slots=True)
class Figures:
    """The outcome of a run.

    `equal_to_truth` holds shares (0 to 1) of the accepted images, by stage and over `all` of them, None
    without any; `troubles` are sentences, none when all went well; `influence`: what candidates did to bots
    in which something was planted.
    """

    seed: int
    workers: int
    seconds: float
    images: dict[str, int]
    tasks: dict[str, int]
    bounces: dict[str, int]
    adjudications: dict[str, int]
    equal_to_truth: dict[str, float | None]
    cycles: int
    cycles_per_second: float
    latency_ms: dict[str, dict[str, float | None]]
    statuses: dict[str, int]
    conflicts: dict[str, int]
    retries: int
    errors: dict[str, int]
    blocked: int
    stuck: int
    troubles: list[str]
    influence: Recovery | None = None

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return bool(self.troubles)

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "failed": self.failed}


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value that `percent` % of the values do not exceed (nearest rank); None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def latency_ms(ledger: Ledger) -> dict[str, dict[str, float | None]]:
    """p50, p95 and p99 of each timed request, in milliseconds."""
    return {
        str(timed): {f"p{percent}": _milliseconds(percentile(seconds, percent)) for percent in PERCENTILES}
        for timed, seconds in ledger.latencies.items()
    }


def shares_equal(accepted: Sequence[tuple[Mapping[str, Any], Truth]]) -> dict[str, float | None]:
    """The share of accepted images whose labels equal the truth, by stage and in all of them."""
    if not accepted:
        return dict.fromkeys([*map(str, LABELLING), ALL])
    wrong: Counter[str] = Counter()
    for labels, truth in accepted:
        stages = {str(fault.stage) for fault in find_faults(labels, truth)}
        wrong.update(stages)
        wrong[ALL] += bool(stages)
    return {name: round(1 - wrong[name] / len(accepted), 4) for name in [*map(str, LABELLING), ALL]}


def by_stage(counts: Mapping[Stage, int]) -> dict[str, int]:
    """Counts for every stage, in the order of the process."""
    return {str(stage): counts.get(stage, 0) for stage in Stage}


def print_figures(figures: Figures, console: Console) -> None:
    """The figures as tables."""
    console.print(Group(_stages(figures), _summary(figures)))
    if figures.influence is not None:
        _print_recovery(figures.influence, console)
    for text in figures.troubles:
        console.print(f"[bold red]{text}[/]", highlight=False)


def _print_recovery(recovery: Recovery, console: Console) -> None:
    planted = recovery.planted
    if not recovery.found:
        console.print("No candidates were shown or withheld: does a model serve, and a job worker run?")
        return
    table = Table("model", title="planted, and as GET /stats/candidates finds it", title_justify="left")
    for heading in ("shown", "withheld", "faster", "adopted", "bias"):
        table.add_column(heading, justify="right")
    for each in recovery.found:
        table.add_row(
            f"{each.stage} {each.model}",
            str(each.shown),
            str(each.withheld),
            _beside(planted.saves, each.faster),
            _beside(planted.adopts, each.adopted),
            _beside(each.planted_bias, each.bias),
        )
    console.print(table)
    if earlier := sum(each.earlier for each in recovery.found):
        console.print(f"{earlier} answers from before this run are in what was found.")
    console.print(recovery.note)


def _beside(planted: float | None, found: float | None) -> str:
    return f"{_percent(planted) or '–'}, {_percent(found) or '–'}"


def _stages(figures: Figures) -> Table:
    table = Table("stage", title=f"{figures.workers} bots, {figures.seconds:.1f} s", title_justify="left")
    for heading in ("tasks done", "sent back to it", "equal to the truth"):
        table.add_column(heading, justify="right")
    for stage in Stage:
        name = str(stage)
        share = _percent(figures.equal_to_truth[name]) if name in figures.equal_to_truth else ""
        table.add_row(name, str(figures.tasks[name]), str(figures.bounces[name]), share)
    all_equal = _percent(figures.equal_to_truth[ALL])
    table.add_row(
        ALL,
        str(figures.cycles),
        str(sum(figures.bounces.values())),
        all_equal,
        style="bold",
        end_section=True,
    )
    return table


def _summary(figures: Figures) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, text in (
        ("images", _counts(figures.images)),
        ("adjudications", _counts(figures.adjudications)),
        ("claim + submit", f"{figures.cycles_per_second:.1f} cycles/s"),
        *((f"latency {name}", _latencies(values)) for name, values in figures.latency_ms.items()),
        ("HTTP answers", _counts(figures.statuses)),
        ("conflicts", _counts(figures.conflicts)),
        ("repeated requests", str(figures.retries)),
        ("blocked, stuck", f"{figures.blocked}, {figures.stuck}"),
        ("errors", _counts(figures.errors)),
    ):
        table.add_row(name, text)
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def _latencies(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {value:.0f} ms" for name, value in values.items() if value is not None)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
