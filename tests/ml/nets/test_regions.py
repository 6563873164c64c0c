import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd.ml.nets.maskrcnn import boxes as boxes_module
from crowd.ml.nets.maskrcnn.anchors import cell_anchors, grid_anchors
from crowd.ml.nets.maskrcnn.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes, grouped_nms, nms
from crowd.ml.nets.maskrcnn.fpn import FeaturePyramid
from crowd.ml.nets.maskrcnn.roi_align import pool_levels, roi_align
from crowd.ml.nets.maskrcnn.sampling import BACKGROUND, UNDECIDED, match_boxes, sample
from crowd.ml.nets.maskrcnn.transform import paste_masks
from tests.ml.nets import cases, formula, stored

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@pytest.mark.parametrize(("samples", "name"), [(2, "roi_align.2"), (None, "roi_align.-1")])
def test_roi_align_agrees_with_the_reference(samples: int | None, name: str) -> None:
    found, images = cases.roi_boxes()
    pooled = roi_align(cases.roi_maps(), found, images, 5, scale=0.25, samples=samples)
    torch.testing.assert_close(pooled, stored.value(name), rtol=1e-4, atol=1e-5)


def test_roi_align_of_a_slope_reads_the_positions_of_the_bins() -> None:
    # On a map that says its own x, a bin says the middle of itself.
    slope = torch.arange(20.0).expand(1, 1, 20, 20)
    pooled = roi_align(slope, torch.tensor([[4.0, 2.0, 12.0, 10.0]]), torch.tensor([0]), 4)
    torch.testing.assert_close(pooled[0, 0, 0], torch.tensor([5.0, 7.0, 9.0, 11.0]))


def test_roi_align_passes_gradients_to_the_map_alone_where_it_was_read() -> None:
    maps = torch.zeros(1, 1, 8, 8, requires_grad=True)
    pooled = roi_align(maps, torch.tensor([[2.0, 2.0, 4.0, 4.0]]), torch.tensor([0]), 2)
    torch.autograd.backward(pooled.sum())
    assert maps.grad is not None
    assert maps.grad.sum() == pytest.approx(4.0)
    assert maps.grad[0, 0, 2:5, 2:5].sum() == pytest.approx(4.0)


def test_a_box_is_read_from_the_level_of_its_size_in_its_own_image() -> None:
    levels = [
        torch.stack([torch.full((1, side, side), 10.0 * image + level) for image in (0, 1)])
        for level, side in enumerate((64, 32, 16, 8))
    ]
    # Sides at a canonical size of 64: stride 16 from 64 up, stride 8 from 32, stride 4 below.
    strides = (4, 8, 16, 32)
    small, middle, large = [0.0, 0, 20, 20], [0.0, 0, 32, 32], [0.0, 0, 200, 200]
    of_images = [torch.tensor([large, small]), torch.tensor([middle])]
    pooled = pool_levels(levels, of_images, 2, strides=strides, canonical_size=64)
    assert pooled.amax(dim=(1, 2, 3)).tolist() == [3.0, 0.0, 11.0]


def test_pooling_no_boxes_gives_no_maps() -> None:
    levels = [torch.zeros(1, 3, side, side) for side in (8, 4, 2, 1)]
    assert pool_levels(levels, [torch.zeros(0, 4)], 7, strides=(4, 8, 16, 32)).shape == (0, 3, 7, 7)


def test_suppression_agrees_with_the_reference() -> None:
    crowded, scores, groups = cases.crowded_boxes()
    assert torch.equal(nms(crowded, scores, 0.5), stored.value("nms"))
    assert torch.equal(grouped_nms(crowded, scores, groups, 0.5), stored.value("batched_nms"))


@pytest.mark.parametrize("block", [1, 7, 64])
def test_suppression_block_by_block_gives_the_same(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded, scores, _ = cases.crowded_boxes()
    monkeypatch.setattr(boxes_module, "_BLOCK", block)
    assert torch.equal(nms(crowded, scores, 0.5), stored.value("nms"))


# Whole numbers make equal boxes, equal scores and long chains of overlaps likely.
corners = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(corners, st.integers(0, 3)), min_size=1, max_size=25), st.sampled_from([0.1, 0.3, 0.6])
)
def test_suppression_does_what_deciding_one_by_one_does(
    drawn: list[tuple[tuple[int, int, int, int], int]], threshold: float
) -> None:
    found = torch.tensor([[x, y, x + w, y + h] for (x, y, w, h), _ in drawn], dtype=torch.float32)
    scores = torch.tensor([score for _, score in drawn], dtype=torch.float32)
    kept: list[int] = []
    for index in sorted(range(len(drawn)), key=lambda index: -drawn[index][1]):
        if not (box_iou(found[kept], found[[index]]) > threshold).any():
            kept.append(index)
    assert nms(found, scores, threshold).tolist() == kept


def test_suppressing_no_boxes_gives_none() -> None:
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    assert (
        grouped_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []
    )


def test_box_arithmetic_agrees_with_the_reference() -> None:
    first, second = cases.paired_boxes()
    torch.testing.assert_close(box_iou(first, second), stored.value("iou"))
    torch.testing.assert_close(
        encode_boxes(first, second, WEIGHTS), stored.value("encode"), rtol=1e-4, atol=1e-5
    )
    decoded = decode_boxes(cases.offsets(), second, WEIGHTS)
    torch.testing.assert_close(decoded, stored.value("decode"), rtol=1e-4, atol=1e-4)


def test_decoding_undoes_encoding() -> None:
    first, second = cases.paired_boxes()
    back = decode_boxes(encode_boxes(first, second, WEIGHTS), second, WEIGHTS)
    torch.testing.assert_close(back, first, rtol=1e-5, atol=1e-3)


def test_decoding_limits_how_far_a_box_grows() -> None:
    anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    grown = decode_boxes(torch.tensor([[0.0, 0.0, 99.0, 99.0]]), anchor, (1.0, 1.0, 1.0, 1.0))
    assert (grown[0, 2] - grown[0, 0]).item() == pytest.approx(1000, rel=1e-4)


def test_boxes_without_area_overlap_nothing() -> None:
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    assert box_iou(point, point).tolist() == [[0.0]]


def test_clipping_keeps_height_and_width_apart() -> None:
    assert clip_boxes(torch.tensor([[-5.0, -5.0, 50.0, 50.0]]), (20, 30)).tolist() == [[0.0, 0.0, 30.0, 20.0]]


def test_anchors_of_a_cell_have_one_area_and_their_ratios() -> None:
    # 32 px at ratio 1/2: 45.25 wide, 22.63 high, halved and rounded.
    assert cell_anchors(32, (0.5, 1.0, 2.0)).tolist() == [
        [-23.0, -11.0, 23.0, 11.0],
        [-16.0, -16.0, 16.0, 16.0],
        [-11.0, -23.0, 11.0, 23.0],
    ]


def test_anchors_go_over_the_cells_row_by_row() -> None:
    cell = torch.tensor([[-1.0, -2.0, 1.0, 2.0]])
    assert grid_anchors(cell, (2, 2), (4, 8)).tolist() == [
        [-1.0, -2.0, 1.0, 2.0],
        [7.0, -2.0, 9.0, 2.0],
        [-1.0, 2.0, 1.0, 6.0],
        [7.0, 2.0, 9.0, 6.0],
    ]


def test_the_pyramid_agrees_with_the_reference() -> None:
    net = FeaturePyramid(cases.PYRAMID_CHANNELS, cases.PYRAMID_WIDTH)
    net.load_state_dict(formula.weights(net.state_dict()))
    with torch.inference_mode():
        levels = net(cases.pyramid_stages())
    assert len(levels) == 5
    for number, level in enumerate(levels):
        torch.testing.assert_close(level, stored.value(f"fpn.{number}"), rtol=1e-4, atol=1e-5)


def test_boxes_are_matched_by_overlap_and_some_stay_undecided() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10], [100.0, 100, 110, 110]])
    found = torch.tensor([[0.0, 0, 10, 9], [0.0, 0, 10, 5], [0.0, 0, 10, 2], [100.0, 100, 110, 102]])
    matched = match_boxes(truth, found, foreground=0.7, background=0.3)
    assert matched.tolist() == [0, UNDECIDED, BACKGROUND, BACKGROUND]
    # The last box is the best that the second true box has.
    every = match_boxes(truth, found, foreground=0.7, background=0.3, every_truth=True)
    assert every.tolist() == [0, UNDECIDED, BACKGROUND, 1]


def test_a_true_box_that_nothing_overlaps_matches_nothing() -> None:
    truth = torch.tensor([[500.0, 500, 510, 510]])
    found = torch.tensor([[0.0, 0, 10, 10], [20.0, 20, 30, 30]])
    matched = match_boxes(truth, found, foreground=0.7, background=0.3, every_truth=True)
    assert matched.tolist() == [BACKGROUND, BACKGROUND]


def test_without_true_boxes_all_is_background() -> None:
    matched = match_boxes(torch.zeros(0, 4), torch.ones(3, 4), foreground=0.5, background=0.5)
    assert matched.tolist() == [BACKGROUND] * 3


def test_sampling_takes_its_share_of_matches_and_fills_up_with_background() -> None:
    torch.manual_seed(0)
    matched = torch.tensor([0] * 10 + [BACKGROUND] * 50 + [UNDECIDED] * 40)
    positive, negative = sample(matched, 16, 0.25)
    assert len(positive) == 4
    assert set(positive.tolist()) <= set(range(10))
    assert len(negative) == 12
    assert set(negative.tolist()) <= set(range(10, 60))
    assert len(set(negative.tolist())) == 12


def test_a_pasted_mask_fills_its_box_and_nothing_outside() -> None:
    masks = torch.ones(1, 1, 28, 28)
    pasted = paste_masks(masks, torch.tensor([[10.0, 20.0, 40.0, 60.0]]), (80, 64))
    assert pasted.shape == (1, 1, 80, 64)
    assert (pasted[0, 0, 22:58, 12:38] > 0.99).all()
    outside = pasted.clone()
    outside[0, 0, 18:62, 8:42] = 0
    assert outside.abs().max() == 0


def test_a_mask_reaching_over_the_edge_is_cut_off() -> None:
    masks = torch.ones(1, 1, 28, 28)
    pasted = paste_masks(masks, torch.tensor([[-10.0, -10.0, 10.0, 10.0]]), (30, 30))
    assert (pasted[0, 0, :9, :9] > 0.99).all()
    assert pasted[0, 0, 12:, 12:].abs().max() == 0


def test_roi_align_keeps_full_precision_amid_autocast() -> None:
    masks = (torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    boxes = torch.tensor([[3.3, 4.1, 21.7, 30.2], [0.4, 2.6, 38.9, 33.3]])
    images = torch.tensor([0, 1])
    plain = roi_align(masks, boxes, images, 28, samples=None)
    with torch.autocast("cpu", torch.bfloat16):
        amid = roi_align(masks, boxes, images, 28, samples=None)
    assert amid.dtype is torch.float32
    assert torch.equal(plain, amid)
