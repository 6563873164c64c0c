"""The inputs on which the nets are compared with the reference, told once for both sides."""

import torch
from torch import Tensor

from tests.ml.nets import formula

CLASSIFIERS = ("resnet18", "resnet50", "resnet101", "vgg16")
CLASSES = 10
# Of the last map every so manieth channel is stored.
CHANNEL_STEP = 32

DETECTORS = {"resnet18": "batch", "resnet50": "frozen"}
KINDS = 4
MIN_SIZE, MAX_SIZE = 96, 128
ANCHOR_SIZES = (8, 16, 32, 64, 128)
IMAGE_SIZES = ((90, 120), (100, 70))
LABELS = ([1, 3, 4], [2])
MOST = 10
# Of each mask every so manieth row and column is stored.
MASK_STEP = 4
EVERYTHING = 100_000
# Proposals before and after suppression: fewer than usual, to be quick.
KEPT, LEFT = 300, 80
GRADIENTS = (
    "backbone.body.conv1.weight",
    "backbone.body.layer4.1.conv2.weight",
    "backbone.fpn.inner_blocks.0.0.weight",
    "backbone.fpn.layer_blocks.3.0.bias",
    "rpn.head.conv.0.0.weight",
    "rpn.head.bbox_pred.weight",
    "roi_heads.box_head.fc6.weight",
    "roi_heads.box_predictor.cls_score.weight",
    "roi_heads.box_predictor.bbox_pred.bias",
    "roi_heads.mask_head.0.0.weight",
    "roi_heads.mask_predictor.conv5_mask.weight",
)

STYLES, WORDS = 5, 12
DECODER = {"dim": 32, "heads": 4, "feedforward": 64}
DECODER_LAYERS = 2

PYRAMID_CHANNELS = (4, 6, 8, 10)
PYRAMID_WIDTH = 5


def classifier_images() -> Tensor:
    return formula.numbers("classifier.images", 2, 3, 64, 64) * 2


def detector_images() -> list[Tensor]:
    return [formula.images(f"image.{number}", 3, *size) for number, size in enumerate(IMAGE_SIZES)]


def detector_targets() -> list[dict[str, Tensor]]:
    pairs = zip(IMAGE_SIZES, LABELS, strict=True)
    return [formula.targets(f"target.{number}", *pair) for number, pair in enumerate(pairs)]


def pyramid_stages() -> list[Tensor]:
    sides = (16, 8, 4, 2)
    pairs = zip(PYRAMID_CHANNELS, sides, strict=True)
    return [formula.numbers(f"stage.{side}", 2, channels, side, side + 2) for channels, side in pairs]


def roi_maps() -> Tensor:
    return formula.numbers("roi.maps", 2, 3, 13, 17)


def roi_boxes() -> tuple[Tensor, Tensor]:
    """Boxes at a scale of 1/4 and their images: ordinary ones, then some out of bounds or without extent."""
    odd = [[-20, -9, 30, 22], [40, 30, 99, 88], [10, 10, 10, 10], [60, 44, 68, 52], [0, 0, 68, 52]]
    together = torch.cat([formula.boxes("roi", 7, 60.0), torch.tensor(odd, dtype=torch.float32)])
    return together, torch.arange(len(together)) % 2


def crowded_boxes() -> tuple[Tensor, Tensor, Tensor]:
    """Boxes that overlap a lot, their scores and groups."""
    count = 400
    groups = (formula.numbers("nms.groups", count) * 3).long() + 3
    return formula.boxes("nms", count, 100.0), formula.images("nms.scores", count), groups


def paired_boxes() -> tuple[Tensor, Tensor]:
    return formula.boxes("codec.boxes", 20, 100.0), formula.boxes("codec.anchors", 20, 100.0)


def offsets() -> Tensor:
    # Some so large that decoding has to limit them.
    return formula.numbers("codec.offsets", 20, 4) * 8


def words() -> Tensor:
    return formula.numbers("words", STYLES, WORDS)


def correlation() -> Tensor:
    """A symmetric matrix of links, each label's strongest to itself."""
    links = formula.images("links", STYLES, STYLES)
    return (links + links.T) / 8 + torch.eye(STYLES)


def decoded() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries and label embeddings (2, labels, dim), cells (2, cells, dim), positions (cells, dim)."""
    dim, cells = DECODER["dim"], 12
    labels = formula.numbers("decoder.labels", STYLES, dim).expand(2, -1, -1)
    shown = formula.numbers("decoder.cells", 2, cells, dim)
    return torch.zeros_like(labels), labels, shown, formula.numbers("decoder.positions", cells, dim)


def decoder_state(number: int) -> dict[str, Tensor]:
    """The weights of that layer, by our names."""
    dim, wide = DECODER["dim"], DECODER["feedforward"]
    attention = {"in_proj_weight": (3 * dim, dim), "in_proj_bias": (3 * dim,)}
    attention |= {"out_proj.weight": (dim, dim), "out_proj.bias": (dim,)}
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}_attention.{key}": shape for name in ("self", "cross") for key, shape in attention.items()
    }
    shapes |= {"linear1.weight": (wide, dim), "linear1.bias": (wide,)}
    shapes |= {"linear2.weight": (dim, wide), "linear2.bias": (dim,)}
    shapes |= {f"norm{place}.{key}": (dim,) for place in (1, 2, 3) for key in ("weight", "bias")}
    state = formula.weights({f"{number}.{key}": torch.empty(shape) for key, shape in shapes.items()})
    return {key.removeprefix(f"{number}."): value for key, value in state.items()}
