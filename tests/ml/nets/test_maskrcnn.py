from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from crowd.ml.nets import create_model
from crowd.ml.nets.maskrcnn import MaskRCNN
from tests.ml.nets import cases, formula, stored


def _compared(backbone: str, norm: str, sampled: int = 512) -> MaskRCNN:
    with torch.device("meta"):
        model = MaskRCNN(
            cases.KINDS,
            backbone=backbone,
            norm=norm,
            min_size=cases.MIN_SIZE,
            max_size=cases.MAX_SIZE,
            anchor_sizes=cases.ANCHOR_SIZES,
            proposal_rules={
                "sampled": sampled,
                "kept": (cases.KEPT, cases.KEPT),
                "left": (cases.LEFT, cases.LEFT),
            },
            region_rules={"sampled": sampled, "most": cases.MOST},
        )
    model.load_state_dict(formula.weights(model.state_dict()), assign=True)
    return model


def _small(**options: Any) -> MaskRCNN:
    torch.manual_seed(1)
    return MaskRCNN(
        2,
        backbone="resnet18",
        min_size=64,
        max_size=64,
        anchor_sizes=(8, 16, 32, 64, 128),
        width=32,
        hidden=64,
        canonical_size=64,
        **options,
    )


def _target(
    boxes: list[list[float]], labels: list[int], size: tuple[int, int] = (64, 64)
) -> dict[str, Tensor]:
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[int(y0) : int(y1), int(x0) : int(x1)] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
    }


@pytest.fixture(scope="module")
def published() -> dict[str, tuple[int, ...]]:
    return stored.keys("maskrcnn_resnet50_fpn")


def test_keys_and_shapes_are_those_of_published_weights(published: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        model = create_model("maskrcnn", classes=90)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == published


def test_weights_published_under_older_names_load_into_a_frozen_net(
    published: dict[str, tuple[int, ...]],
) -> None:
    with torch.device("meta"):
        model = create_model("maskrcnn", classes=90, norm="frozen")
        older = {_older_name(key): torch.zeros(shape) for key, shape in published.items()}
    assert "rpn.head.conv.weight" in older
    assert "backbone.fpn.layer_blocks.2.bias" in older
    assert "roi_heads.mask_head.mask_fcn4.weight" in older
    model.load_state_dict(older, assign=True)


def _older_name(key: str) -> str:
    parts = key.split(".")
    if parts[:2] == ["roi_heads", "mask_head"]:
        return f"roi_heads.mask_head.mask_fcn{int(parts[2]) + 1}.{parts[-1]}"
    if parts[:3] == ["rpn", "head", "conv"]:
        return f"rpn.head.conv.{parts[-1]}"
    if parts[1] == "fpn":
        return ".".join([*parts[:4], parts[-1]])
    return key


@pytest.mark.parametrize(("backbone", "norm"), cases.DETECTORS.items())
def test_detections_agree_with_the_reference(backbone: str, norm: str) -> None:
    model = _compared(backbone, norm).eval()
    with torch.inference_mode():
        found = model(cases.detector_images())
    for number, (detection, size) in enumerate(zip(found, cases.IMAGE_SIZES, strict=True)):
        assert detection["masks"].shape == (cases.MOST, 1, *size)
        expected = {key: stored.value(f"{backbone}.{number}.{key}") for key in detection}
        assert torch.equal(detection["labels"], expected["labels"])
        torch.testing.assert_close(detection["scores"], expected["scores"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(detection["boxes"], expected["boxes"], rtol=1e-3, atol=1e-2)
        masks = detection["masks"][:, :, :: cases.MASK_STEP, :: cases.MASK_STEP]
        torch.testing.assert_close(masks, expected["masks"].float(), rtol=0, atol=2e-3)


def test_losses_and_gradients_agree_with_the_reference() -> None:
    model = _compared("resnet18", "batch", sampled=cases.EVERYTHING)
    losses = model(cases.detector_images(), cases.detector_targets())
    assert len(losses) == 5
    for name, loss in losses.items():
        torch.testing.assert_close(loss.detach(), stored.value(name), rtol=1e-3, atol=1e-5)
    torch.autograd.backward(list(losses.values()))
    parameters = dict(model.named_parameters())
    norms = torch.stack([_gradient(parameters[name]).norm() for name in cases.GRADIENTS])
    torch.testing.assert_close(norms, stored.value("gradients"), rtol=1e-2, atol=1e-6)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_a_few_steps_lower_the_loss_of_a_batch_with_an_empty_image() -> None:
    model = _small(proposal_rules={"left": (100, 100)}, region_rules={"sampled": 64})
    images = [torch.full((3, 64, 64), 0.2), torch.full((3, 48, 64), 0.3)]
    images[0][0, 10:40, 12:50] = 0.9
    targets = [_target([[12, 10, 50, 40]], [2]), _target([], [], (48, 64))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    totals = []
    for _ in range(6):
        losses = model(images, targets)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        totals.append(total.item())
    assert min(totals[-2:]) < totals[0] / 2


def test_a_batch_without_any_object_has_finite_losses_and_gradients() -> None:
    model = _small()
    losses = model([torch.rand(3, 64, 64)] * 2, [_target([], [])] * 2)
    assert losses["loss_mask"] == 0
    torch.autograd.backward(list(losses.values()))
    assert all(torch.isfinite(_gradient(parameter)).all() for parameter in model.parameters())


def test_answers_come_in_pixels_of_images_of_any_size() -> None:
    model = _small(region_rules={"least_score": 0.0, "most": 3}).eval()
    with torch.inference_mode():
        found = model([torch.rand(3, 100, 40), torch.rand(3, 30, 200)])
    for detection, (height, width) in zip(found, [(100, 40), (30, 200)], strict=True):
        assert detection["masks"].shape == (3, 1, height, width)
        assert detection["masks"].min() >= 0
        assert detection["masks"].max() <= 1
        limit = torch.tensor([width, height, width, height]) + 1e-3
        assert (detection["boxes"] >= 0).all()
        assert (detection["boxes"] <= limit).all()
        assert set(detection["labels"].tolist()) <= {1, 2}
        assert detection["scores"].tolist() == sorted(detection["scores"].tolist(), reverse=True)


def test_an_image_on_which_nothing_is_found_answers_with_empty_tensors() -> None:
    model = _small(region_rules={"least_score": 1.0}).eval()
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 50, 60)])
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "scores": (0,),
        "masks": (0, 1, 50, 60),
    }


def test_frozen_normalisation_does_not_move_in_training() -> None:
    model = _small(norm="frozen", frozen_stages=2)
    before = {key: value.clone() for key, value in model.backbone.body.state_dict().items()}
    total = torch.stack(list(model([torch.rand(3, 64, 64)], [_target([[5, 5, 30, 30]], [1])]).values())).sum()
    torch.autograd.backward(total)
    after = model.backbone.body.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items() if "running" in key)
    parameters = dict(model.backbone.body.named_parameters())
    assert parameters["layer2.0.conv1.weight"].grad is None
    assert parameters["layer3.0.conv1.weight"].grad is not None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("boxes", torch.zeros(1, 4), r"targets\.0\.boxes: every box must be wider"),
        ("boxes", torch.zeros(4), r"targets\.0\.boxes: shape \(4,\)"),
        ("labels", torch.tensor([0]), r"targets\.0\.labels: must lie between 1 and 2"),
        ("labels", torch.tensor([3]), r"targets\.0\.labels: must lie between 1 and 2"),
        ("labels", torch.tensor([1.0]), r"targets\.0\.labels: must be 1 int64"),
        ("masks", torch.zeros(1, 32, 32), r"targets\.0\.masks: shape \(1, 32, 32\)"),
    ],
)
def test_a_target_that_cannot_be_is_refused_by_its_field(field: str, value: Tensor, message: str) -> None:
    target = _target([[5, 5, 30, 30]], [1]) | {field: value}
    with pytest.raises(ValueError, match=message):
        _small()([torch.rand(3, 64, 64)], [target])


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="targets: in training each image needs one"):
        _small()([torch.rand(3, 64, 64)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg16"}, "backbone: 'vgg16' is none of"),
        ({"norm": "group"}, "norm: 'group' is none of"),
        ({"anchor_sizes": (32, 64)}, "anchor_sizes: 5 are needed"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("maskrcnn", classes=2, **options)


def test_it_learns_in_bfloat16_too() -> None:
    torch.manual_seed(0)
    model = MaskRCNN(
        2,
        backbone="resnet18",
        min_size=64,
        max_size=64,
        anchor_sizes=(8, 16, 32, 64, 128),
        canonical_size=64,
        width=32,
        hidden=32,
        proposal_rules={"kept": (60, 40), "left": (40, 20), "sampled": 32},
        region_rules={"sampled": 16, "most": 5},
    ).train()
    images = [torch.rand(3, 64, 64) for _ in range(2)]
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 10:40, 12:50] = 1
    target = {"boxes": torch.tensor([[12.0, 10.0, 50.0, 40.0]]), "labels": torch.tensor([1]), "masks": masks}
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, [target, target])
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(loss.dtype is torch.float32 and torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(each.grad).all() for each in model.parameters() if each.grad is not None)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(images)
    assert all(torch.isfinite(each["masks"]).all() for each in found)
