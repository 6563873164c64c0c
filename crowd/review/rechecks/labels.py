"""What an uninvolved person is shown: an image's labels as they stood at one moment. PURE."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crowd.policy import Stage
from crowd.review.judgements import Story, versions
from crowd.tasks.flow import LABELLING
from crowd.tasks.labels import carry_attributes, region_parts
from crowd.tasks.rules import says_unusable


@dataclass(frozen=True, slots=True)
class Row:
    """The labels of a stage from some moment on."""

    stage: Stage
    value: Any


def rows_before(story: Story, place: int) -> list[Row]:
    """Every version of the labels before the answer at `place`, oldest first, as an image keeps them."""
    return list(_rows(story[:place]))


def completed(shown: dict[Stage, Any], story: Story) -> dict[Stage, Any]:
    """`shown`, and where there was nothing yet what came later, fitted to the regions shown."""
    final = {stage: version.value for stage, version in versions(story).items()}
    whole: dict[Stage, Any] = {stage: shown.get(stage) or final.get(stage) for stage in LABELLING}
    if Stage.ATTRIBUTES not in shown and final.get(Stage.ATTRIBUTES) and whole[Stage.SEGMENTATION]:
        whole[Stage.ATTRIBUTES] = carry_attributes(
            final[Stage.ATTRIBUTES],
            region_parts(final[Stage.SEGMENTATION]),
            region_parts(whole[Stage.SEGMENTATION]),
        )
    return {stage: value for stage, value in whole.items() if value}


def _rows(story: Story) -> Iterator[Row]:
    for each in story:
        is_labels = each.stage in LABELLING and not each.sends_back and not says_unusable(each.result)
        if is_labels and each.stage is not Stage.STYLES:
            yield Row(each.stage, each.result)
    styles = versions(story).get(Stage.STYLES)
    if styles is not None:
        yield Row(Stage.STYLES, styles.value)
