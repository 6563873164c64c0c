"""The series behind the watch's alerts as a picture: errors as data grow, and how deliveries drift."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from crowd.ml.curves import BLUE, RED, Line, growth_panels, panel, side_by_side
from crowd.ml.watch.arrivals import Delivery
from crowd.ml.watch.drift import SHIFTED, Drift


def draw_watch(report: Mapping[str, Any] | None, drifts: Mapping[Delivery, Drift]) -> bytes | None:
    """A PNG of a model's last report and of its deliveries, week by week; None where there is neither."""
    panels = growth_panels(report) if report else []
    if drifts:
        weeks = drift_by_week(drifts)
        lines = [
            Line("furthest delivery", list(weeks.values()), BLUE),
            Line("a shift", [SHIFTED] * len(weeks), RED),
        ]
        panels.append(
            panel("drift of images (PSI)", lines, len(weeks), "week", [str(week) for week in weeks])
        )
    return side_by_side(panels) if panels else None


def drift_by_week(drifts: Mapping[Delivery, Drift]) -> dict[int, float]:
    """By ISO week the index of the delivery that differs most from all others."""
    most: dict[int, float] = defaultdict(float)
    for delivery, drift in drifts.items():
        most[delivery.week] = max(most[delivery.week], drift.index)
    return {week: most[week] for week in sorted(most)}
