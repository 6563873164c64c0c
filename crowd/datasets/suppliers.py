"""What suppliers are called in what is handed out: their names, or numbers that say nothing of them. PURE."""

from collections.abc import Mapping
from dataclasses import replace

from crowd.policy.targets import Targets

# Those of whom a target is set and nothing has come yet.
OTHERS = "others"


def called_by_number(
    images: Mapping[int, int], numbers: Mapping[str, int], targets: Targets
) -> tuple[dict[str, int], Targets]:
    """Images by supplier, and the targets, with numbers for names; the same number in every release.

    `images` go by the supplier's id, `numbers` are the ids of those that the targets name.
    """
    wanted: dict[str, int] = {}
    for name, target in targets.suppliers.items():
        called = _called(numbers[name]) if name in numbers else OTHERS
        wanted[called] = wanted.get(called, 0) + target
    counted = {_called(number): images[number] for number in sorted(images)}
    return counted, replace(targets, suppliers=wanted)


def _called(number: int) -> str:
    return f"supplier {number}"
