import pytest

pytest.importorskip("numpy")

import numpy as np
import numpy.typing as npt
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd.ml.polygons import fill_rings, trace_rings

HEIGHT, WIDTH = 64, 96

Grid = npt.NDArray[np.float64]


def _ellipse(x: float, y: float, across: float, down: float) -> Grid:
    """A blob whose probability falls off over about two px at its edge."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    distance: Grid = np.hypot((columns - x) / across, (rows - y) / down)
    return (0.5 + (1 - distance) * min(across, down) / 2).clip(0, 1)


def _rectangle(x: float, y: float, across: float, down: float) -> Grid:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    covered: npt.NDArray[np.bool_] = (abs(columns - x) <= across) & (abs(rows - y) <= down)
    return covered.astype(np.float64)


def _overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


blobs = st.builds(
    lambda shape, *numbers: shape(*numbers),
    st.sampled_from([_ellipse, _rectangle]),
    st.floats(0, WIDTH),
    st.floats(0, HEIGHT),
    st.floats(12, 40),
    st.floats(12, 30),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(blobs, min_size=1, max_size=3))
def test_outlines_filled_again_give_the_shape_with_few_points(shapes: list[Grid]) -> None:
    mask = np.maximum.reduce(shapes)
    rings = trace_rings(mask, least_share=0)
    # Holes are filled on purpose: what three blobs enclose between them does not count.
    whole = fill_rings(trace_rings(mask, tolerance=0, least_share=0), mask.shape)
    assert _overlap(whole | (mask > 0.5), whole) > 0.98
    assert _overlap(fill_rings(rings, mask.shape), whole) > 0.9
    assert sum(len(ring) for ring in rings) <= 40 * len(shapes)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.2, 0.8),
    st.sampled_from([0.0, 0.7, 2.0]),
    st.sampled_from([0.1, 0.5]),
)
def test_rings_of_any_mask_are_valid_and_inside_the_image(
    seed: int, share: float, tolerance: float, threshold: float
) -> None:
    chance = np.random.default_rng(seed)
    mask = chance.random((14, 18)) * (chance.random((14, 18)) < share)
    rings = trace_rings(mask, threshold=threshold, tolerance=tolerance, least_area=0, least_share=0)
    for ring in rings:
        polygon = shapely.Polygon(ring)
        assert polygon.is_valid
        assert polygon.area > 0
        assert ring[0] != ring[-1]
        assert all(0 <= x <= 18 and 0 <= y <= 14 for x, y in ring)
        assert all(round(number, 1) == number for point in ring for number in point)


def test_an_outline_lies_where_pixels_are_squares_from_the_top_left() -> None:
    mask = np.zeros((40, 50))
    mask[10:30, 5:45] = 1
    (ring,) = trace_rings(mask)
    assert shapely.Polygon(ring).bounds == pytest.approx((5, 10, 45, 30), abs=0.5)
    assert len(ring) <= 8


def test_the_outline_follows_probabilities_between_pixels() -> None:
    # From .9 to .3 the half lies two thirds of the way to the next pixel's centre.
    mask = np.zeros((20, 20))
    mask[:, :10], mask[:, 10] = 0.9, 0.3
    (ring,) = trace_rings(mask, tolerance=0.05)
    assert max(x for x, _ in ring) == pytest.approx(9.5 + 2 / 3, abs=0.05)


def test_a_garment_in_pieces_gives_a_ring_for_each_the_largest_first() -> None:
    mask = np.zeros((60, 60))
    mask[5:15, 5:15] = 1
    mask[20:50, 20:50] = 1
    rings = trace_rings(mask)
    assert [round(shapely.Polygon(ring).centroid.x) for ring in rings] == [35, 10]


def test_specks_are_dropped_by_area_and_by_share() -> None:
    mask = np.zeros((200, 200))
    mask[20:180, 20:180] = 1
    mask[2:5, 2:5] = 1
    mask[2:14, 100:112] = 1
    assert len(trace_rings(mask)) == 1
    assert len(trace_rings(mask, least_share=0)) == 2
    assert len(trace_rings(mask, least_share=0, least_area=1)) == 3


def test_holes_and_islands_in_them_are_filled() -> None:
    mask = np.zeros((60, 60))
    mask[5:55, 5:55] = 1
    mask[15:45, 15:45] = 0
    mask[25:35, 25:35] = 1
    (ring,) = trace_rings(mask)
    assert shapely.Polygon(ring).area == pytest.approx(2500, rel=0.03)


def test_a_mask_of_the_whole_image_is_outlined_along_its_border() -> None:
    (ring,) = trace_rings(np.ones((30, 40)))
    assert sorted(ring) == [[0, 0], [0, 30], [40, 0], [40, 30]]


def test_a_garment_cut_off_by_the_edge_is_outlined_up_to_it() -> None:
    mask = np.zeros((30, 40))
    mask[10:, :20] = 1
    (ring,) = trace_rings(mask)
    assert {(0, 30), (20, 30)} <= {(x, y) for x, y in ring}


def test_masks_that_hold_nothing_have_no_outline() -> None:
    assert trace_rings(np.zeros((0, 10))) == []
    assert trace_rings(np.zeros((10, 10))) == []
    assert trace_rings(np.full((10, 10), np.nan)) == []


def test_an_outline_of_too_many_points_is_made_coarser() -> None:
    mask = np.maximum(_ellipse(48, 32, 40, 30), 0)
    (fine,) = trace_rings(mask, tolerance=0)
    (coarse,) = trace_rings(mask, tolerance=0, most_points=30)
    assert len(fine) > 100
    assert 8 <= len(coarse) <= 30


def test_more_rings_than_allowed_leave_the_smallest_out() -> None:
    mask = np.zeros((20, 100))
    for number in range(5):
        mask[2 : 12 + number, number * 20 : number * 20 + 10] = 1
    rings = trace_rings(mask, most_rings=2)
    assert sorted(round(shapely.Polygon(ring).centroid.x) for ring in rings) == [65, 85]


def test_filling_covers_the_pixels_of_a_ring_exactly() -> None:
    filled = fill_rings([[[2, 3], [7, 3], [7, 8], [2, 8]]], (10, 12))
    expected = np.zeros((10, 12), dtype=bool)
    expected[3:8, 2:7] = True
    assert np.array_equal(filled, expected)


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask: shape \(1, 4, 4\)"):
        trace_rings(np.zeros((1, 4, 4)))
