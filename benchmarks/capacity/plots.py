"""The two pictures of docs/capacity.md."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.capacity.days import images_a_day, run
from benchmarks.capacity.projects import (
    CROWD,
    EXPERTS,
    GRID_SECONDS,
    IMAGES,
    INSPECTORS,
    PLANNED_DAYS,
    SCENARIOS,
    planned,
)
from crowd.policy import Stage

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SHOWN = (0, 1, 4)
LOOKS = (8.0, 4.0, GRID_SECONDS)
COLOURS = dict(zip(Stage, ("#8c8c8c", "#4c72b0", "#55a868", "#c44e52", "#dd8452", "#8172b3"), strict=True))


def draw() -> list[Path]:
    """Draw both; their files."""
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        return [_waiting(), _inspectors()]


def _waiting() -> Path:
    figure, panels = plt.subplots(1, len(SHOWN), figsize=(11, 3.4), sharey=True)
    for panel, place in zip(panels, SHOWN, strict=True):
        scenario = SCENARIOS[place]
        course = run(scenario.project, 400)
        days = range(1, course.days + 1)
        layers = [[day[stage] / 1e6 for day in course.waiting] for stage in Stage]
        labels = [str(stage).replace("_", " ") for stage in Stage]
        panel.stackplot(days, layers, labels=labels, colors=list(COLOURS.values()))
        panel.plot(days, [count / 1e6 for count in course.accepted], color="black", label="accepted")
        panel.set_title(f"{scenario.name}\n{course.days} days", fontsize=9)
        panel.set_xlabel("working day")
        panel.set_xlim(0, 400)
    panels[0].set_ylabel("million images")
    panels[-1].legend(frameon=False, fontsize=8, title="waiting at", loc="center right")
    return _save(figure, "capacity-waiting.png")


def _inspectors() -> Path:
    figure, panel = plt.subplots(figsize=(6.5, 3.8))
    counts = range(1, 31)
    for seconds in LOOKS:
        days = []
        for count in counts:
            project = planned({INSPECTORS: count}, {Stage.SECOND_REVIEW: seconds})
            days.append(IMAGES / images_a_day(project)[INSPECTORS])
        panel.plot(counts, days, marker=".", label=f"{seconds:g} s a look")
    panel.axhline(PLANNED_DAYS[EXPERTS], color="grey", linestyle="--", linewidth=1)
    panel.text(30, PLANNED_DAYS[EXPERTS] * 1.05, "143 days, meant for the experts", ha="right", color="grey")
    panel.axhline(PLANNED_DAYS[CROWD], color="grey", linestyle=":", linewidth=1)
    panel.text(30, PLANNED_DAYS[CROWD] * 1.05, "37 days, meant for the crowd", ha="right", color="grey")
    panel.set_yscale("log")
    panel.set_yticks([10, 20, 50, 100, 200, 500], ["10", "20", "50", "100", "200", "500"])
    panel.minorticks_off()
    panel.set_xlabel("second reviewers")
    panel.set_ylabel("days for two looks at 1.2 M images")
    panel.legend(frameon=False)
    return _save(figure, "capacity-second-review.png")


def _save(figure: Figure, name: str) -> Path:
    path = FOLDER / name
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
