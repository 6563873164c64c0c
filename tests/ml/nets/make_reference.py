"""How reference.npz and reference_keys.json were made: by torchvision, on inputs and weights by formula.

Run it where torch 2.14.1 and torchvision 0.29.1 are installed, which the product's own environment lacks:
    python -m tests.ml.nets.make_reference
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.ml.nets import cases, formula

FOLDER = Path(__file__).parent
WEIGHTS = (10.0, 10.0, 5.0, 5.0)

Arrays = dict[str, np.ndarray]


def _torchvision(name: str) -> Any:
    return importlib.import_module(f"torchvision.{name}")


def classifiers() -> Arrays:
    models = _torchvision("models")
    stored: Arrays = {}
    for name in cases.CLASSIFIERS:
        model = _filled(getattr(models, name)(num_classes=cases.CLASSES)).eval()
        images = cases.classifier_images()
        features = model.features(images) if name == "vgg16" else _resnet_features(model, images)
        stored[f"{name}.features"] = features[:, :: cases.CHANNEL_STEP].numpy()
        stored[f"{name}.logits"] = model(images).numpy()
    return stored


def _resnet_features(model: Any, images: Tensor) -> Tensor:
    maps: Tensor = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        maps = layer(maps)
    return maps


def regions() -> Arrays:
    ops = _torchvision("ops")
    boxes, images = cases.roi_boxes()
    rois = torch.cat([images[:, None].float(), boxes], dim=1)
    stored: Arrays = {}
    for samples in (2, -1):
        pooled = ops.roi_align(cases.roi_maps(), rois, (5, 5), spatial_scale=0.25, sampling_ratio=samples)
        stored[f"roi_align.{samples}"] = pooled.numpy()
    crowded, scores, groups = cases.crowded_boxes()
    stored["nms"] = ops.nms(crowded, scores, 0.5).numpy()
    stored["batched_nms"] = ops.batched_nms(crowded, scores, groups, 0.5).numpy()
    first, second = cases.paired_boxes()
    stored["iou"] = ops.box_iou(first, second).numpy()
    coder = _torchvision("models.detection._utils").BoxCoder(WEIGHTS)
    stored["encode"] = coder.encode_single(first, second).numpy()
    stored["decode"] = coder.decode_single(cases.offsets(), second).numpy()
    return stored


def pyramid() -> Arrays:
    ops = _torchvision("ops")
    extra = _torchvision("ops.feature_pyramid_network").LastLevelMaxPool()
    net = _filled(ops.FeaturePyramidNetwork(list(cases.PYRAMID_CHANNELS), cases.PYRAMID_WIDTH, extra))
    levels = net({str(number): stage for number, stage in enumerate(cases.pyramid_stages())})
    return {f"fpn.{number}": level.numpy() for number, level in enumerate(levels.values())}


def detectors() -> Arrays:
    stored: Arrays = {}
    for name, norm in cases.DETECTORS.items():
        model = _filled(_detector(name, norm)).eval()
        for number, found in enumerate(model(cases.detector_images())):
            masks = found.pop("masks")[:, :, :: cases.MASK_STEP, :: cases.MASK_STEP]
            stored |= {f"{name}.{number}.{key}": value.numpy() for key, value in found.items()}
            stored[f"{name}.{number}.masks"] = masks.numpy().astype(np.float16)
    return stored


def losses() -> Arrays:
    # Both samplers take everything there is, so that chance decides nothing.
    model = _filled(
        _detector(
            "resnet18",
            "batch",
            rpn_batch_size_per_image=cases.EVERYTHING,
            box_batch_size_per_image=cases.EVERYTHING,
        )
    ).train()
    with torch.enable_grad():
        found = model(cases.detector_images(), cases.detector_targets())
        torch.autograd.backward(torch.stack(list(found.values())).sum())
    stored = {key: value.detach().numpy() for key, value in found.items()}
    parameters = dict(model.named_parameters())
    norms = [parameters[name].grad.norm().item() for name in cases.GRADIENTS]
    return {**stored, "gradients": np.array(norms, dtype=np.float32)}


def _detector(name: str, norm: str, **options: Any) -> Any:
    detection = _torchvision("models.detection")
    backbone_utils = _torchvision("models.detection.backbone_utils")
    anchors = _torchvision("models.detection.anchor_utils")
    layer = _torchvision("ops").FrozenBatchNorm2d if norm == "frozen" else nn.BatchNorm2d
    body = getattr(_torchvision("models"), name)(norm_layer=layer)
    return detection.MaskRCNN(
        backbone_utils._resnet_fpn_extractor(body, 5),
        num_classes=cases.KINDS + 1,
        min_size=cases.MIN_SIZE,
        max_size=cases.MAX_SIZE,
        rpn_anchor_generator=anchors.AnchorGenerator(
            tuple((size,) for size in cases.ANCHOR_SIZES), ((0.5, 1.0, 2.0),) * len(cases.ANCHOR_SIZES)
        ),
        box_detections_per_img=cases.MOST,
        rpn_pre_nms_top_n_train=cases.KEPT,
        rpn_pre_nms_top_n_test=cases.KEPT,
        rpn_post_nms_top_n_train=cases.LEFT,
        rpn_post_nms_top_n_test=cases.LEFT,
        **options,
    )


def keys() -> dict[str, dict[str, list[int]]]:
    models = _torchvision("models")
    detection = _torchvision("models.detection")
    with torch.device("meta"):
        nets = {name: getattr(models, name)() for name in cases.CLASSIFIERS}
        whole = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        nets["maskrcnn_resnet50_fpn"] = whole
    return {
        name: {key: list(value.shape) for key, value in net.state_dict().items()}
        for name, net in nets.items()
    }


def _filled(model: Any) -> Any:
    model.load_state_dict(formula.weights(model.state_dict()))
    return model


def main() -> None:
    torch.set_num_threads(1)
    with torch.no_grad():
        stored = {**classifiers(), **regions(), **pyramid(), **detectors(), **losses()}
    np.savez_compressed(FOLDER / "reference.npz", **stored)  # type: ignore[arg-type]
    lines = json.dumps(keys(), separators=(",", ":")).replace("},", "},\n")
    (FOLDER / "reference_keys.json").write_text(lines + "\n", encoding="utf-8")
    for name, value in stored.items():
        if value.ndim < 2:
            print(name, value)


if __name__ == "__main__":
    main()
