"""The tables of docs/capacity.md, in Markdown. PURE."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.capacity import loads
from benchmarks.capacity.chain import expected
from benchmarks.capacity.days import images_a_day, people_needed, run, seconds_an_image
from benchmarks.capacity.projects import (
    GRID,
    HABITS,
    IMAGES,
    INSPECTORS,
    PLANNED,
    PLANNED_DAYS,
    SCENARIOS,
    planned,
)
from crowd.policy import Stage

MOST_DAYS = 700


def all_tables() -> Iterator[tuple[str, str]]:
    """Each table with its heading."""
    yield "An image's way", table(("stage", "done first", "done again", "sent back to it"), ways())
    yield "As planned", table(("", "people", "s an image", "images a day", "days", "days meant"), plan())
    yield "What changes it", table(("", "days", "busy: crowd, experts, first, second"), scenarios())
    yield (
        "People needed for 143 days",
        table(("", *PLANNED, f"{INSPECTORS}, grid", "bounces an image", "sound"), needs()),
    )
    measured = loads.record()
    yield "An image in the database", table(("table", "rows", "bytes", "of indexes"), rows(measured))
    yield (
        "What the machines carry",
        table(("", *(volume.name for volume in loads.VOLUMES)), carried(measured)),
    )


def ways() -> Iterator[Sequence[str]]:
    """How often each task of an image is done."""
    found = expected(planned().habits)
    for stage in Stage:
        again = found.tasks.get((stage, True), 0)
        yield (
            str(stage),
            f"{found.tasks.get((stage, False), 0):.2f}",
            f"{again:.2f}" if again else "",
            f"{found.bounces.get(stage, 0):.2f}" if stage in found.bounces else "",
        )
    yield "all", f"{answers():.2f} tasks", "", f"{sum(found.bounces.values()):.2f}"


def answers() -> float:
    """Answers an image, as assumed."""
    return sum(expected(planned().habits).tasks.values())


def plan() -> Iterator[Sequence[str]]:
    """Each group of the guideline by itself."""
    project = planned()
    cost, pace = seconds_an_image(project), images_a_day(project)
    for name, people in PLANNED.items():
        days, meant = IMAGES / pace[name], PLANNED_DAYS[name]
        yield name, f"{people:g}", f"{cost[name]:.0f}", f"{pace[name]:,.0f}", f"{days:.0f}", f"{meant:g}"
        if name == INSPECTORS:
            grid = planned(seconds=GRID)
            cost, pace = seconds_an_image(grid), images_a_day(grid)
            days = IMAGES / pace[name]
            yield (
                f"{name}, grid page",
                f"{people:g}",
                f"{cost[name]:.1f}",
                f"{pace[name]:,.0f}",
                f"{days:.0f}",
                f"{meant:g}",
            )


def scenarios() -> Iterator[Sequence[str]]:
    """What each change makes of the whole project."""
    for scenario in SCENARIOS:
        course = run(scenario.project, MOST_DAYS)
        busy = ", ".join(f"{share:.0%}" for share in course.busy.values())
        yield scenario.name, f"{course.days}", busy


def needs() -> Iterator[Sequence[str]]:
    """People needed to be done in the experts' days, for other habits."""
    days = PLANNED_DAYS[INSPECTORS]
    for name, habits in HABITS.items():
        people = people_needed(planned(habits=habits), days)
        grid = people_needed(planned(habits=habits, seconds=GRID), days)[INSPECTORS]
        found = expected(habits)
        numbers = [f"{count:.1f}" if count < 20 else f"{count:.0f}" for count in (*people.values(), grid)]
        yield name, *numbers, f"{sum(found.bounces.values()):.2f}", f"{found.sound:.1%}"


def rows(measured: dict[str, object]) -> Iterator[Sequence[str]]:
    """An image's rows and bytes by table."""
    total = [0.0, 0.0, 0.0]
    for name, count, table_bytes, index_bytes in loads.by_table(measured):
        if count >= 0.05:
            yield name, f"{count:.2f}", f"{table_bytes:,.0f}", f"{index_bytes:,.0f}"
        total = [total[0] + count, total[1] + table_bytes, total[2] + index_bytes]
    yield "all", f"{total[0]:.1f}", f"{total[1]:,.0f}", f"{total[2]:,.0f}"


def carried(measured: dict[str, object]) -> Iterator[Sequence[str]]:
    """Each load at each volume."""
    each = loads.cost(measured)
    columns = [dict(loads.loads(volume, each, answers())) for volume in loads.VOLUMES]
    for name in columns[0]:
        yield name, *(column[name] for column in columns)


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    text = [f"| {' | '.join(headings)} |", f"|{'|'.join(['---'] * len(headings))}|"]
    return "\n".join([*text, *(f"| {' | '.join(line)} |" for line in lines)])
