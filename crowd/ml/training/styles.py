"""Styles of a whole image: several labels at once, of which one is far more frequent than all others."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from crowd.core.errors import field_error
from crowd.ml.data import TRAIN, DataSet, Sample
from crowd.ml.metrics import Figures, style_figures
from crowd.ml.nets import Preprocess, correlation_matrix, count_together
from crowd.ml.training.datasets import Dice, StyleImages, batches, plain_loader
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Prepared, Setting, build, preprocess_of
from crowd.taxonomy import Taxonomy

HEADLINE = "mAP"


def prepare(data: DataSet, taxonomy: Taxonomy, setting: Setting, net: nn.Module | None = None) -> Prepared:
    """The styles of the taxonomy, learnt from whole images, by `net` if it is given.

    Raises WeightsError and a 422.
    """
    labels = [style.key for style in taxonomy.styles]
    samples = data.of(TRAIN)
    targets = _targets(samples, labels)
    hyper, options = setting.hyper, {"backbone": setting.hyper.backbone, "size": setting.hyper.image_size}
    setting, graph = _graph(setting, targets, labels)
    net = net or build(setting, labels=len(labels), **options, **graph)
    preprocess = preprocess_of(net)

    def figures_of(model: nn.Module, shown: Sequence[Sample], ranks: Ranks) -> Figures:
        images = StyleImages(shown, labels, preprocess, Dice(setting.seed))
        scores = predict(model, images, ranks, hyper.batch_size, hyper.workers)
        return style_figures(scores, _targets(shown, labels).numpy(), labels)

    def prior_of(shown: Sequence[Sample]) -> Figures:
        shares = targets.mean(dim=0).numpy()
        return style_figures(np.tile(shares, (len(shown), 1)), _targets(shown, labels).numpy(), labels)

    return Prepared(
        net,
        {
            "stage": "styles",
            "net": setting.model,
            "options": {"labels": len(labels), **options, **setting.options, **_sizes(net)},
            "classes": labels,
            "inputs": _inputs(preprocess),
        },
        StyleImages(samples, labels, preprocess, Dice(setting.seed)),
        lambda model, batch: cast(Tensor, net.loss(model(batch[0]).float(), batch[1])),  # type: ignore[operator]
        figures_of,
        prior_of,
        HEADLINE,
    )


@torch.inference_mode()
def predict(model: nn.Module, images: StyleImages, ranks: Ranks, batch_size: int, workers: int) -> Any:
    """Probabilities (N, labels) of all images, in their order, in every rank."""
    model.eval()
    loader = plain_loader(images, ranks, batch_size=batch_size, workers=workers)
    mine = [model(batch.to(ranks.device)).float().sigmoid().cpu().numpy() for batch, _ in batches(loader)]
    places = range(ranks.rank, len(images), ranks.world)
    found = ranks.gather(list(zip(places, np.concatenate(mine) if mine else [], strict=True)))
    return np.stack([scores for _, scores in sorted(found, key=lambda pair: pair[0])])


def _targets(samples: Sequence[Sample], labels: Sequence[str]) -> Tensor:
    return torch.tensor([[float(label in sample.styles) for label in labels] for sample in samples])


def _graph(setting: Setting, targets: Tensor, labels: Sequence[str]) -> tuple[Setting, dict[str, Any]]:
    """What the graph of ML-GCN is made of: which labels stand together, and vectors of their names.

    The options `tau` and `p` are the graph's own, and taken out of the net's: from which share on two labels
    are linked, and how much of a label its neighbours make up (0: there is no graph).
    """
    if setting.model != "ml_gcn":
        if setting.word_vectors:
            raise field_error("--word-vectors", f"{setting.model} has no use for them")
        return setting, {}
    own = {name: setting.options[name] for name in ("tau", "p") if name in setting.options}
    rest = {name: value for name, value in setting.options.items() if name not in own}
    try:
        found: dict[str, Any] = {"correlation": correlation_matrix(count_together(targets), **own)}
    except (TypeError, ValueError) as error:
        raise field_error("--model-option", str(error)) from None
    if setting.word_vectors:
        found["word_vectors"] = read_vectors(setting.word_vectors, labels)
    return dataclasses.replace(setting, options=rest), found


def read_vectors(path: Path, names: Sequence[str]) -> Tensor:
    """Vectors (names, dimensions) from a file in word2vec's or GloVe's text form.

    A name of several words is the mean of theirs. Raises a 422 about a name of which no word is there.
    """
    words = {word for name in names for word in _words(name)}
    found: dict[str, Tensor] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                word, _, numbers = line.rstrip().partition(" ")
                if word.lower() in words and numbers.count(" "):
                    found.setdefault(word.lower(), torch.tensor([float(each) for each in numbers.split()]))
    except (OSError, ValueError) as error:
        raise field_error("--word-vectors", f"{path} cannot be read: {error}") from None
    vectors = []
    for name in names:
        known = [found[word] for word in _words(name) if word in found]
        if not known:
            raise field_error("--word-vectors", f"{path} has no vector of {name}")
        vectors.append(torch.stack(known).mean(dim=0))
    return torch.stack(vectors)


def _words(name: str) -> list[str]:
    # Joined forms come first as one word, as such vectors often have them.
    return [name.lower(), *name.lower().replace("/", "-").split("-")]


def _sizes(net: nn.Module) -> dict[str, int]:
    """What the net learnt of its sizes from tensors that lie in its weights."""
    vectors = getattr(net, "word_vectors", None)
    return {} if vectors is None else {"word_dim": vectors.shape[1]}


def _inputs(preprocess: Preprocess) -> dict[str, Any]:
    size = preprocess.size
    return {
        "size": [size, size],
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
        "fit": "squash",
        "crop": "image",
        "margin": 0.0,
    }
