"""How reference_styles.npz was made: by the code of the papers' authors, on inputs and weights by formula.

Run it with a folder that holds models.py and util.py of github.com/megvii-research/ML-GCN (5517d6f) and
models/transformer.py of github.com/facebookresearch/detr (29901c5), whose decoder layers are Query2Label's:
    python -m tests.ml.nets.make_style_reference FOLDER
The ResNet that they are given is ours, which agrees with torchvision's (make_reference.py).
"""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crowd.ml.nets.resnet import resnet50
from tests.ml.nets import cases, formula
from tests.ml.nets.stored import FOLDER

Arrays = dict[str, np.ndarray]


def graph() -> Arrays:
    """The logits of ML-GCN; its classifiers without the images, too."""
    for name in ("torchvision", "torchvision.models", "tqdm"):
        # Imported by the authors, for what is not asked of them here.
        sys.modules.setdefault(name, types.SimpleNamespace(models=None, tqdm=None))  # type: ignore[arg-type]
    authors = importlib.import_module("models")
    # Theirs is read from a file, and transposed on its way: of a symmetric one nothing is seen of that.
    authors.gen_A = lambda *_: cases.correlation().numpy()  # type: ignore[attr-defined]
    body = resnet50(classes=0)
    body.load_state_dict(_under("backbone", body))
    # Ours calls these as functions.
    body.relu, body.maxpool = nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
    net = authors.GCNResnet(body, cases.STYLES, in_channel=cases.WORDS).eval()
    net.pooling = nn.AdaptiveMaxPool2d(1)
    for layer in ("gc1", "gc2"):
        getattr(net, layer).load_state_dict(_under(layer, getattr(net, layer)))
    return {"ml_gcn.logits": net(cases.classifier_images(), cases.words()[None]).numpy()}


def decoder() -> Arrays:
    """What a stack of decoder layers makes of label embeddings, cells and their positions."""
    authors = importlib.import_module("transformer")
    queries, labels, cells, positions = cases.decoded()
    for number in range(cases.DECODER_LAYERS):
        layer = authors.TransformerDecoderLayer(
            cases.DECODER["dim"], cases.DECODER["heads"], cases.DECODER["feedforward"], dropout=0.0
        )
        layer.load_state_dict({_theirs(key): value for key, value in cases.decoder_state(number).items()})
        # Theirs has the batch in the second place.
        queries = (
            layer.eval()(
                queries.transpose(0, 1),
                cells.transpose(0, 1),
                pos=positions[:, None],
                query_pos=labels.transpose(0, 1),
            )
        ).transpose(0, 1)
    return {"query2label.decoded": queries.numpy()}


def _under(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    state = {f"{prefix}.{key}": value for key, value in module.state_dict().items()}
    return {key.removeprefix(f"{prefix}."): value for key, value in formula.weights(state).items()}


def _theirs(key: str) -> str:
    return key.replace("self_attention", "self_attn").replace("cross_attention", "multihead_attn")


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    torch.set_num_threads(1)
    with torch.no_grad():
        stored: dict[str, Any] = {**graph(), **decoder()}
    np.savez_compressed(FOLDER / "reference_styles.npz", **stored)
    for name, value in stored.items():
        print(name, value.shape, value.std())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
