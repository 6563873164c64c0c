from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from PIL import Image

from crowd.ml.nets import IMAGENET_MEAN, IMAGENET_STD, MODELS, Preprocess, create_model

OPTIONS: dict[str, dict[str, Any]] = {
    "attributes": {"questions": {"category": {"values": 2}}, "backbone": "resnet18", "size": 96},
    "baseline": {"labels": 3, "backbone": "resnet18", "size": 96},
    "fashionnet": {"questions": {"category": {"values": 2}}, "backbone": "resnet18", "size": 96},
    "maskrcnn": {"classes": 2, "backbone": "resnet18"},
    "ml_gcn": {"labels": 3, "backbone": "resnet18", "size": 96},
    "query2label": {"labels": 3, "dim": 32, "feedforward": 32, "backbone": "resnet18", "size": 96},
}


def test_every_model_is_tried_here() -> None:
    assert set(OPTIONS) == set(MODELS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_name_with_its_options_rebuilds_what_weights_fit_into(name: str) -> None:
    with torch.device("meta"):
        first, second = (create_model(name, **OPTIONS[name]) for _ in range(2))
    assert first.training
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (first, second)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_model_carries_its_preprocessing(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, **OPTIONS[name])
    if name == "maskrcnn":
        # It scales and normalises by itself.
        assert model.preprocess == Preprocess(None, mean=(0, 0, 0), std=(1, 1, 1))
    else:
        assert model.preprocess == Preprocess(96, IMAGENET_MEAN, IMAGENET_STD)


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="model: 'resnet' is none of attributes"):
        create_model("resnet")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="depth"):
        create_model("baseline", labels=3, depth=4)


def test_preprocessing_squashes_and_normalises_each_channel() -> None:
    image = Image.new("RGB", (30, 20), (255, 0, 51))
    found = Preprocess(8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.1))(image)
    assert found.shape == (3, 8, 8)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 3, 5], torch.tensor([1.0, -2.0, -3.0]))


def test_preprocessing_keeps_rows_and_columns_apart() -> None:
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), (255, 255, 255))
    found = Preprocess(None, mean=(0, 0, 0), std=(1, 1, 1))(image)
    assert found.shape == (3, 2, 3)
    assert found.sum() == 3
    assert found[:, 1, 2].tolist() == [1, 1, 1]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_images_of_any_mode_become_three_channels(mode: str) -> None:
    assert Preprocess(16)(Image.new(mode, (40, 10))).shape == (3, 16, 16)
