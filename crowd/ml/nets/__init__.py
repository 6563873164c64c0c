"""The nets, on torch alone, by name. PURE: they know no database, no request, no queue, and load nothing."""

from collections.abc import Callable
from typing import Any

from torch import nn

from crowd.ml.nets.attributes import UNANSWERED, AttributeNet, Question, attribute_loss
from crowd.ml.nets.backbones import BACKBONES, create_backbone
from crowd.ml.nets.baseline import BaselineNet
from crowd.ml.nets.fashionnet import FashionNet, detection_weight
from crowd.ml.nets.features import Backbone, load_published
from crowd.ml.nets.losses import asymmetric_loss
from crowd.ml.nets.maskrcnn import MaskRCNN
from crowd.ml.nets.ml_gcn import MLGCN, correlation_matrix, count_together
from crowd.ml.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from crowd.ml.nets.query2label import Query2Label

MODELS: dict[str, Callable[..., nn.Module]] = {
    "attributes": AttributeNet,
    "baseline": BaselineNet,
    "fashionnet": FashionNet,
    "maskrcnn": MaskRCNN,
    "ml_gcn": MLGCN,
    "query2label": Query2Label,
}


def create_model(name: str, **options: Any) -> nn.Module:
    """A randomly initialised net of MODELS, in training mode; it carries its `preprocess`.

    Options are those of the net's class, and plain data, so that a name with its options rebuilds it:
    attributes   questions={key: Question(values, multiple) or {"values": …, "multiple": …}}, backbone, size,
                 dropout
    baseline     labels, backbone, size
    fashionnet   questions (as of attributes), parts, backbone, size, local_channels, local_features
    maskrcnn     classes, backbone, min_size, max_size, anchor_sizes, anchor_ratios, norm, norm_eps,
                 frozen_stages, width, hidden, canonical_size, proposal_rules, region_rules
    ml_gcn       labels, word_vectors, correlation, word_dim, hidden, pool, backbone, size
    query2label  labels, dim, heads, feedforward, layers, dropout, backbone, size
    Raises ValueError for an unknown name or an option that cannot be, TypeError for an unknown option.
    """
    if name not in MODELS:
        raise ValueError(f"model: {name!r} is none of {', '.join(MODELS)}")
    return MODELS[name](**options)


__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MLGCN",
    "MODELS",
    "UNANSWERED",
    "AttributeNet",
    "Backbone",
    "BaselineNet",
    "FashionNet",
    "MaskRCNN",
    "Preprocess",
    "Query2Label",
    "Question",
    "asymmetric_loss",
    "attribute_loss",
    "correlation_matrix",
    "count_together",
    "create_backbone",
    "create_model",
    "detection_weight",
    "load_published",
]
