"""COCO's packed masks, held against COCO's own code."""

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from crowd.datasets.rle import mask_of


def test_masks_packed_by_coco_are_unpacked_to_the_pixel() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        height, width = rng.integers(1, 60, 2)
        pixels = np.asfortranarray(rng.random((height, width)) < rng.random(), dtype=np.uint8)
        packed = coco_masks.encode(pixels)
        given = {"size": packed["size"], "counts": packed["counts"].decode()}
        assert np.array_equal(mask_of(given, width, height), pixels.astype(bool))
    tall = np.zeros((3000, 5), np.uint8, order="F")
    tall[7:2900, 1:3] = 1
    assert np.array_equal(mask_of(coco_masks.encode(tall), 5, 3000), tall.astype(bool))


def test_runs_may_be_plain_numbers() -> None:
    assert mask_of({"size": [2, 3], "counts": [1, 2, 3]}, 3, 2).tolist() == [
        [False, True, False],
        [True, False, False],
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"size": [2, 2], "counts": [6]},
        {"size": [2, 3], "counts": [5]},
        {"size": [2, 3], "counts": [7, -1]},
        {"size": [2, 3], "counts": [1.5, 4.5]},
        {"size": [2, 3], "counts": "~"},
        {"size": [2, 3], "counts": "P"},
        {"size": [2, 3], "counts": "o" * 50},
    ],
)
def test_what_is_no_mask_is_told(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^(has|ends) "):
        mask_of(given, 3, 2)
