import pytest

pytest.importorskip("torch")

import torch

from crowd.ml.nets import BACKBONES, create_backbone, load_published
from crowd.ml.nets.features import STRIDES
from tests.ml.nets import cases, formula, stored


@pytest.mark.parametrize("name", cases.CLASSIFIERS)
def test_keys_and_shapes_are_those_of_published_weights(name: str) -> None:
    with torch.device("meta"):
        state = BACKBONES[name]().state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == stored.keys(name)


@pytest.mark.parametrize("name", cases.CLASSIFIERS)
def test_features_and_logits_agree_with_the_reference(name: str) -> None:
    with torch.device("meta"):
        model = BACKBONES[name](classes=cases.CLASSES).eval()
    model.load_state_dict(formula.weights(model.state_dict()), assign=True)
    with torch.inference_mode():
        features = model.forward_features(cases.classifier_images())
        logits = model.forward_head(features)
    few = features[:, :: cases.CHANNEL_STEP]
    assert few.abs().mean() > 0.01
    torch.testing.assert_close(few, stored.value(f"{name}.features"), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(logits, stored.value(f"{name}.logits"), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_stages_have_the_strides_and_channels_they_tell(name: str) -> None:
    model = create_backbone(name).eval()
    with torch.inference_mode():
        stages = model.forward_stages(torch.zeros(1, 3, 64, 96))
    assert [tuple(stage.shape) for stage in stages] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(model.stage_channels, STRIDES, strict=True)
    ]


@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc.weight"), ("vgg16", "classifier.6.weight")])
def test_published_weights_load_into_a_backbone_without_a_head(name: str, head: str) -> None:
    body = create_backbone(name)
    weights = {**formula.weights(body.state_dict()), head: torch.zeros(1)}
    load_published(body, weights)
    assert all(torch.equal(value, weights[key]) for key, value in body.state_dict().items())


def test_published_weights_that_lack_a_layer_are_refused_by_its_name() -> None:
    body = create_backbone("resnet18")
    weights = body.state_dict()
    del weights["layer3.0.conv1.weight"]
    with pytest.raises(RuntimeError, match=r"layer3\.0\.conv1\.weight"):
        load_published(body, weights)


@pytest.mark.parametrize(
    ("name", "frozen", "free"),
    [
        ("resnet18", "layer2.1.conv2.weight", "layer3.0.conv1.weight"),
        ("vgg16", "features.14.weight", "features.17.weight"),
    ],
)
def test_frozen_stages_get_no_gradients_and_later_ones_do(name: str, frozen: str, free: str) -> None:
    body = create_backbone(name)
    body.freeze_stages(2)
    parameters = dict(body.named_parameters())
    assert not parameters[frozen].requires_grad
    assert parameters[free].requires_grad


def test_freezing_no_stage_freezes_nothing() -> None:
    body = create_backbone("resnet18")
    body.freeze_stages(0)
    assert all(parameter.requires_grad for parameter in body.parameters())


def test_an_unknown_backbone_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'resnet19' is none of resnet18"):
        create_backbone("resnet19")
