"""The three multi-label nets on the same terms, and what is particular to each."""

import copy
import math
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.nn import functional

from crowd.ml.nets import (
    MLGCN,
    Query2Label,
    asymmetric_loss,
    correlation_matrix,
    count_together,
    create_model,
)
from crowd.ml.nets.ml_gcn import normalised
from crowd.ml.nets.query2label import DecoderLayer, GroupLinear, position_encoding
from tests.ml.nets import cases, formula, stored
from tests.ml.nets.steps import losses_while_training

LABELS = 5
SMALL: dict[str, dict[str, Any]] = {
    "baseline": {},
    "ml_gcn": {"word_dim": 12, "hidden": 16},
    "query2label": {"dim": 32, "heads": 4, "feedforward": 64, "dropout": 0.0},
}


def _net(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return create_model(name, labels=LABELS, backbone="resnet18", size=64, **SMALL[name], **options)


def _filled(name: str, **options: Any) -> Any:
    model = _net(name, **options)
    model.load_state_dict(formula.weights(model.state_dict()))
    return model.eval()


@pytest.mark.parametrize("name", SMALL)
def test_images_become_a_logit_per_label(name: str) -> None:
    model = _net(name).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 64, 96)).shape == (2, LABELS)
        assert model.embed(torch.zeros(2, 3, 64, 96)).shape == (2, 512)


@pytest.mark.parametrize("name", SMALL)
def test_features_and_head_together_are_the_whole(name: str) -> None:
    model = _filled(name)
    images = formula.numbers("style.images", 2, 3, 64, 64)
    with torch.inference_mode():
        apart = model.forward_head(model.forward_features(images))
        torch.testing.assert_close(apart, model(images))
    assert apart.std(dim=0).min() > 0


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    model = _net(name)
    images = formula.numbers("style.images", 4, 3, 32, 32)
    targets = (formula.numbers("style.targets", 4, LABELS) > 0).long()
    losses = losses_while_training(model, lambda: model.loss(model(images), targets), steps=6)
    assert min(losses[-2:]) < losses[0] * 0.7


def test_counts_tell_how_often_labels_stand_together() -> None:
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])
    assert count_together(labels).tolist() == [[3, 2, 1], [2, 2, 1], [1, 1, 1]]


def test_the_correlation_matrix_is_that_of_a_hand_calculation() -> None:
    # P(b|a) = 5/10, P(c|a) = 3/10, P(d|a) = 4/10: at .4 a has two neighbours, b (5/6) one, c (3/3) one,
    # d (4/20) none, as does e, which nobody ever chose.
    together = [
        [10, 5, 3, 4, 0],
        [5, 6, 0, 0, 0],
        [3, 0, 3, 0, 0],
        [4, 0, 0, 20, 0],
        [0, 0, 0, 0, 0],
    ]
    assert correlation_matrix(together, tau=0.4, p=0.25).tolist() == [
        [0.75, 0.125, 0, 0.125, 0],
        [0.25, 0.75, 0, 0, 0],
        [0.25, 0, 0.75, 0, 0],
        [0, 0, 0, 0.75, 0],
        [0, 0, 0, 0, 0.75],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tau": 1.5}, "tau: 1.5"), ({"p": -0.1}, "p: -0.1")],
)
def test_a_share_that_is_none_is_refused_by_name(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        correlation_matrix([[1]], **options)


def test_counts_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="together: must be square"):
        correlation_matrix([[1, 2, 3]])


def test_normalisation_divides_by_the_roots_of_both_degrees() -> None:
    found = normalised(torch.tensor([[1.0, 3.0], [0.0, 9.0]]))
    # Degrees 4 and 9: the entry between them is divided by 2 and by 3.
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.5], [0.0, 1.0]]))


def test_ml_gcn_does_what_its_paper_writes_down() -> None:
    correlation = correlation_matrix(count_together((formula.numbers("seen", 30, LABELS) > 0).long()))
    words = formula.numbers("words", LABELS, 12)
    model = _net("ml_gcn", correlation=correlation, word_vectors=words).eval()
    images = formula.numbers("style.images", 2, 3, 64, 64)
    with torch.no_grad():
        features = model.forward_features(images)
        found = model(images)
        first = _convolve(words, correlation, model.gc1.weight)
        hidden = torch.where(first > 0, first, 0.2 * first)
        classifiers = _convolve(hidden, correlation, model.gc2.weight)
    expected = torch.tensor(
        [
            [
                float(functional.adaptive_max_pool2d(feature, 1).flatten() @ classifier)
                for classifier in classifiers
            ]
            for feature in features
        ]
    )
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_ml_gcn_agrees_with_the_code_of_its_authors() -> None:
    options = {"word_vectors": cases.words(), "correlation": cases.correlation()}
    model = create_model("ml_gcn", labels=cases.STYLES, backbone="resnet50", **options).eval()
    kept = {
        name: value for name, value in model.state_dict().items() if name in ("word_vectors", "adjacency")
    }
    model.load_state_dict(formula.weights(model.state_dict()) | kept)
    with torch.no_grad():
        found = model(cases.classifier_images())
    expected = stored.value("ml_gcn.logits")
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def _convolve(nodes: Tensor, correlation: Tensor, weight: Tensor) -> Tensor:
    """A node's new value, neighbour by neighbour."""
    degrees = [sum(row) for row in correlation.tolist()]
    rows = []
    for node in range(len(nodes)):
        total = torch.zeros(weight.shape[1])
        for other in range(len(nodes)):
            share = float(correlation[node, other]) / math.sqrt(degrees[node] * degrees[other])
            total = total + share * (nodes[other] @ weight)
        rows.append(total)
    return torch.stack(rows)


@pytest.fixture
def graph() -> MLGCN:
    return _filled("ml_gcn")  # type: ignore[no-any-return]


def test_the_classifiers_are_kept_between_calls_in_eval(graph: MLGCN) -> None:
    with torch.no_grad():
        assert graph.classifiers() is graph.classifiers()


def test_with_gradients_the_classifiers_are_made_anew_and_learn(graph: MLGCN) -> None:
    with torch.no_grad():
        kept = graph.classifiers()
    made = graph.classifiers()
    assert made is not kept
    torch.autograd.backward(made.sum())
    assert graph.gc1.weight.grad is not None


def test_resumed_training_drops_the_kept_classifiers(graph: MLGCN) -> None:
    with torch.no_grad():
        kept = graph.classifiers()
        graph.train()
        graph.gc1.weight.data.mul_(2)
        graph.eval()
        assert not torch.equal(graph.classifiers(), kept)


def test_loaded_weights_drop_the_kept_classifiers(graph: MLGCN) -> None:
    with torch.no_grad():
        kept = graph.classifiers()
        state = {
            key: value * 2 if value.is_floating_point() else value
            for key, value in graph.state_dict().items()
        }
        graph.load_state_dict(state)
        assert not torch.equal(graph.classifiers(), kept)


def test_another_dtype_drops_the_kept_classifiers(graph: MLGCN) -> None:
    with torch.no_grad():
        assert graph.classifiers().dtype == torch.float32
        assert graph.double().classifiers().dtype == torch.float64


def test_an_average_updated_in_eval_does_not_keep_old_classifiers(graph: MLGCN) -> None:
    average = copy.deepcopy(graph)
    with torch.no_grad():
        kept = average.classifiers().clone()
        average.gc2.weight.lerp_(torch.ones_like(average.gc2.weight), 0.5)
        assert not torch.equal(average.classifiers(), kept)


def test_words_and_correlation_come_back_with_the_weights() -> None:
    words, correlation = formula.numbers("words", LABELS, 12), correlation_matrix(torch.ones(LABELS, LABELS))
    trained = _net("ml_gcn", word_vectors=words, correlation=correlation).eval()
    loaded = _net("ml_gcn").eval()
    loaded.load_state_dict(trained.state_dict())
    with torch.no_grad():
        assert torch.equal(loaded.classifiers(), trained.classifiers())
    torch.testing.assert_close(loaded.word_vectors, words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word_vectors": [[1.0, 2.0]]}, r"word_vectors: shape \(1, 2\)"),
        ({"correlation": [[1.0]]}, r"correlation: shape \(1, 1\) is not \(5, 5\)"),
    ],
)
def test_arrays_of_other_labels_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("ml_gcn", labels=LABELS, backbone="resnet18", **options)


def test_positions_are_sines_and_cosines_of_row_and_column() -> None:
    found = position_encoding(2, 3, 8)
    assert found.shape == (6, 8)
    # Row 2 of 2 and column 1 of 3; each half has two frequencies, 1 and 1/100.
    down, across = 2 * math.pi, 2 * math.pi / 3
    expected = [
        wave(angle / slow) for angle in (down, across) for slow in (1, 100) for wave in (math.sin, math.cos)
    ]
    torch.testing.assert_close(found[3], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def _attend(attention: torch.nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention of one image, head by head: query (q, dim), key and value (k, dim)."""
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (
        given @ weight.T + bias
        for given, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    size = q.shape[1] // attention.num_heads
    heads = []
    for head in range(attention.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = (q[:, part] @ k[:, part].T) / math.sqrt(size)
        heads.append(scores.softmax(dim=1) @ v[:, part])
    return torch.cat(heads, dim=1) @ attention.out_proj.weight.T + attention.out_proj.bias


def _decode(layer: DecoderLayer, queries: Tensor, labels: Tensor, cells: Tensor, positions: Tensor) -> Tensor:
    """One decoder layer of one image, as section 3.2 of the paper tells it."""
    asked = queries + labels
    queries = layer.norm1(queries + _attend(layer.self_attention, asked, asked, queries))
    found = _attend(layer.cross_attention, queries + labels, cells + positions, cells)
    queries = layer.norm2(queries + found)
    hidden = (queries @ layer.linear1.weight.T + layer.linear1.bias).clamp(min=0)
    decoded: Tensor = layer.norm3(queries + hidden @ layer.linear2.weight.T + layer.linear2.bias)
    return decoded


def test_query2label_does_what_its_paper_writes_down() -> None:
    model: Query2Label = _filled("query2label")
    images = formula.numbers("style.images", 2, 3, 64, 96)
    with torch.no_grad():
        found = model(images)
        expected = torch.stack([_read_labels(model, feature) for feature in model.forward_features(images)])
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_decoder_layers_agree_with_those_that_the_authors_took_over() -> None:
    queries, labels, cells, positions = cases.decoded()
    with torch.no_grad():
        for number in range(cases.DECODER_LAYERS):
            layer = DecoderLayer(**cases.DECODER, dropout=0.0).eval()
            layer.load_state_dict(cases.decoder_state(number))
            queries = layer(queries, labels, cells, positions)
    torch.testing.assert_close(queries, stored.value("query2label.decoded"), rtol=1e-4, atol=1e-5)


def _read_labels(model: Query2Label, feature: Tensor) -> Tensor:
    weight = model.project.weight[:, :, 0, 0]
    bias = model.project.bias
    assert bias is not None
    cells = torch.stack([weight @ cell + bias for cell in feature.flatten(1).T])
    positions = position_encoding(feature.shape[1], feature.shape[2], len(weight))
    queries = torch.zeros_like(model.label_embeddings)
    for layer in model.decoder:
        assert isinstance(layer, DecoderLayer)
        queries = _decode(layer, queries, model.label_embeddings, cells, positions)
    classifier = model.classifier
    return torch.stack(
        [
            query @ weight + bias
            for query, weight, bias in zip(queries, classifier.weight, classifier.bias, strict=True)
        ]
    )


def test_each_label_has_a_linear_classifier_of_its_own() -> None:
    layer = GroupLinear(2, 3)
    layer.load_state_dict(
        {"weight": torch.tensor([[1.0, 0, 0], [0, 2.0, 0]]), "bias": torch.tensor([0.5, -1.0])}
    )
    with torch.no_grad():
        assert layer(torch.tensor([[[3.0, 4, 5], [6, 7, 8]]])).tolist() == [[3.5, 13.0]]


def test_a_dimension_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="dim: 30 must be a multiple"):
        create_model("query2label", labels=2, dim=30, heads=4, backbone="resnet18")


def test_without_focus_and_margin_the_asymmetric_loss_is_cross_entropy() -> None:
    logits, targets = formula.numbers("logits", 3, 4) * 3, (formula.numbers("wanted", 3, 4) > 0).float()
    found = asymmetric_loss(logits, targets, gamma_negative=0, gamma_positive=0, margin=0)
    expected = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / 3
    torch.testing.assert_close(found, expected)


def test_the_asymmetric_loss_is_that_of_a_hand_calculation() -> None:
    # Probabilities .8 (wanted), .6 and .04 (not): the last lies under the margin.
    logits = torch.tensor([[0.8, 0.6, 0.04]]).logit()
    found = asymmetric_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]), gamma_negative=2, gamma_positive=1)
    expected = -(0.2 * math.log(0.8) + 0.55**2 * math.log(0.45))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_asymmetric_loss_of_a_certain_mistake_is_finite_and_so_is_its_gradient() -> None:
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[0.0, 1.0]]), margin=0)
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"targets: shape \(2,\)"):
        asymmetric_loss(torch.zeros(1, 2), torch.zeros(2))


def test_ml_gcn_pools_as_it_is_told() -> None:
    features = torch.rand(2, 512, 3, 3, generator=torch.Generator().manual_seed(4))
    for pool, pooled in (("max", features.amax(dim=(2, 3))), ("mean", features.mean(dim=(2, 3)))):
        model = _net("ml_gcn", pool=pool).eval()
        assert torch.allclose(model.forward_head(features), pooled @ model.classifiers().T)
    with pytest.raises(ValueError, match="pool"):
        _net("ml_gcn", pool="median")


def test_labels_without_word_vectors_begin_at_different_places_of_one_length() -> None:
    words = _net("ml_gcn").word_vectors
    assert torch.allclose(words.norm(dim=1), torch.ones(len(words)))
    assert len({tuple(each) for each in words.tolist()}) == len(words)
