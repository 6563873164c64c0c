from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from crowd.ml.nets import UNANSWERED, FashionNet, Question, create_model, detection_weight
from tests.ml.nets import formula
from tests.ml.nets.steps import losses_while_training

NAN = float("nan")
NOWHERE = [NAN] * 4
PARTS = 2


@pytest.fixture
def model() -> FashionNet:
    torch.manual_seed(0)
    return FashionNet(
        {"category": Question(4), "print": Question(3, multiple=True)},
        parts=PARTS,
        backbone="resnet18",
        size=64,
        local_channels=8,
        local_features=16,
    )


@pytest.fixture
def images() -> Tensor:
    return formula.numbers("fashion.images", 2, 3, 64, 64)


@pytest.fixture
def targets() -> dict[str, Any]:
    return {
        "boxes": torch.tensor([[[4.0, 8, 40, 30], NOWHERE], [NOWHERE, [10.0, 20, 60, 62]]]),
        "answers": {
            "category": torch.tensor([[1, UNANSWERED], [UNANSWERED, 3]]),
            "print": torch.tensor([[[1, 0, 1], [UNANSWERED] * 3], [[UNANSWERED] * 3, [0, 0, 1]]]),
        },
    }


def test_each_part_gets_a_box_and_its_attributes(model: FashionNet, images: Tensor) -> None:
    found = model(images)
    assert found["present"].shape == (2, PARTS)
    assert found["boxes"].shape == (2, PARTS, 4)
    assert found["attributes"]["category"].shape == (2, PARTS, 4)
    assert found["attributes"]["print"].shape == (2, PARTS, 3)
    assert (found["boxes"][..., 2:] > found["boxes"][..., :2]).all()


def test_attributes_are_read_where_the_box_is(model: FashionNet, images: Tensor) -> None:
    model.eval()
    here = torch.tensor([[[0.0, 0, 32, 32]] * PARTS] * 2)
    there = here.clone()
    there[0, 1] = torch.tensor([20.0, 20, 60, 60])
    with torch.inference_mode():
        first, second = (model(images, boxes)["attributes"]["category"] for boxes in (here, there))
    moved = (first != second).any(dim=2)
    assert moved.tolist() == [[False, True], [False, False]]


def test_where_no_box_is_told_the_found_one_is_read(model: FashionNet, images: Tensor) -> None:
    model.eval()
    with torch.inference_mode():
        alone = model(images)
        nowhere = torch.full((2, PARTS, 4), NAN)
        for boxes in (nowhere, alone["boxes"]):
            told = model(images, boxes)["attributes"]["category"]
            torch.testing.assert_close(told, alone["attributes"]["category"])


def test_a_few_steps_lower_the_loss_and_bring_boxes_nearer(
    model: FashionNet, images: Tensor, targets: dict[str, Any]
) -> None:
    def loss() -> Tensor:
        losses = model.losses(model(images, targets["boxes"]), targets)
        boxes.append(losses["loss_box"].item())
        return torch.stack(list(losses.values())).sum()

    boxes: list[float] = []
    totals = losses_while_training(model, loss, steps=6)
    assert totals[-1] < totals[0] / 2
    assert boxes[-1] < boxes[0] / 2


def test_absent_parts_teach_absence_alone(model: FashionNet, images: Tensor, targets: dict[str, Any]) -> None:
    outputs = model(images, targets["boxes"])
    losses = model.losses(outputs, targets)
    shifted = outputs | {"boxes": outputs["boxes"].clone()}
    shifted["boxes"][0, 1] += 9
    assert model.losses(shifted, targets)["loss_box"] == losses["loss_box"]
    shifted["boxes"][0, 0] += 9
    assert model.losses(shifted, targets)["loss_box"] != losses["loss_box"]


def test_images_without_garments_have_finite_losses(model: FashionNet, images: Tensor) -> None:
    targets = {
        "boxes": torch.full((2, PARTS, 4), NAN),
        "answers": {"category": torch.full((2, PARTS), UNANSWERED)},
    }
    losses = model.losses(model(images, targets["boxes"]), targets)
    assert losses["loss_box"] == 0
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    assert all(
        torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None
    )


def test_the_weight_is_that_of_finding_and_not_of_reading(
    model: FashionNet, images: Tensor, targets: dict[str, Any]
) -> None:
    outputs = model(images, targets["boxes"])
    full, tenth = (model.losses(outputs, targets, weight=weight) for weight in (1.0, 0.1))
    for name, share in (("loss_present", 0.1), ("loss_box", 0.1), ("loss_attributes", 1.0)):
        torch.testing.assert_close(tenth[name], full[name] * share)


def test_finding_weighs_large_and_small_in_turn() -> None:
    assert [detection_weight(number) for number in range(4)] == [1.0, 0.1, 1.0, 0.1]
    weights = [detection_weight(number, large=2.0, small=0.5, length=2) for number in range(6)]
    assert weights == [2.0, 2.0, 0.5, 0.5, 2.0, 2.0]


def test_a_schedule_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length: 0"):
        detection_weight(3, length=0)


def test_boxes_lie_in_pixels_of_images_that_are_not_square() -> None:
    model = create_model("fashionnet", questions={"category": {"values": 2}}, backbone="resnet18").eval()
    with torch.inference_mode():
        boxes = model(torch.zeros(1, 3, 64, 128))["boxes"]
    # At first every box is about half of the image, around its middle.
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    torch.testing.assert_close(middle[0].mean(dim=0), torch.tensor([64.0, 32.0]), rtol=0.15, atol=0)
