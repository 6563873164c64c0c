import math

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.nn import functional

from crowd.ml.nets import UNANSWERED, AttributeNet, Question, attribute_loss, create_model
from tests.ml.nets import formula
from tests.ml.nets.steps import losses_while_training

QUESTIONS = {"category": Question(5), "print": Question(3, multiple=True)}


@pytest.fixture
def logits() -> dict[str, Tensor]:
    return {"category": formula.numbers("category", 4, 5), "print": formula.numbers("print", 4, 3)}


def _net(**options: object) -> AttributeNet:
    torch.manual_seed(0)
    return AttributeNet(QUESTIONS, backbone="resnet18", size=64, **options)  # type: ignore[arg-type]


def test_each_attribute_gets_as_many_logits_as_it_has_values() -> None:
    found = _net()(torch.zeros(2, 3, 64, 64))
    assert {key: tuple(value.shape) for key, value in found.items()} == {"category": (2, 5), "print": (2, 3)}


def test_attributes_may_be_called_like_anything() -> None:
    # All of these are names of a module dictionary's own methods, or hold a dot.
    keys = ("values", "type", "keys", "forward", "sleeve.length")
    model = create_model("attributes", questions={key: Question(2) for key in keys}, backbone="resnet18")
    assert tuple(model.eval()(torch.zeros(1, 3, 32, 32))) == keys


def test_only_answered_rows_of_a_single_attribute_count(logits: dict[str, Tensor]) -> None:
    answers = {"category": torch.tensor([2, UNANSWERED, 4, UNANSWERED])}
    expected = functional.cross_entropy(logits["category"][[0, 2]], torch.tensor([2, 4]))
    torch.testing.assert_close(attribute_loss(logits, answers, QUESTIONS), expected)


def test_only_known_values_of_a_multiple_attribute_count() -> None:
    said = {"category": torch.zeros(2, 5), "print": torch.tensor([[2.0, -1.0, 0.0], [3.0, 3.0, 3.0]])}
    given = torch.tensor([[1, 0, UNANSWERED], [UNANSWERED] * 3])
    # -log sigmoid(2) where the value holds, -log sigmoid(1) where it does not and -1 was said.
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert attribute_loss(said, {"print": given}, QUESTIONS).item() == pytest.approx(expected, rel=1e-5)


def test_losses_of_attributes_add_up(logits: dict[str, Tensor]) -> None:
    category = {"category": torch.tensor([0, 1, 2, 3])}
    prints = {"print": torch.tensor([[1, 0, 1]] * 4)}
    both = attribute_loss(logits, category | prints, QUESTIONS)
    apart = attribute_loss(logits, category, QUESTIONS) + attribute_loss(logits, prints, QUESTIONS)
    torch.testing.assert_close(both, apart)


def test_a_batch_without_any_answer_costs_nothing_and_still_has_gradients() -> None:
    model = _net()
    logits = model(torch.rand(2, 3, 64, 64))
    loss = model.loss(logits, {"category": torch.full((2,), UNANSWERED)})
    torch.autograd.backward(loss)
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_probabilities_sum_to_one_where_one_value_holds_alone(logits: dict[str, Tensor]) -> None:
    found = _net().probabilities(logits)
    torch.testing.assert_close(found["category"].sum(dim=1), torch.ones(4))
    torch.testing.assert_close(found["print"], logits["print"].sigmoid())


def test_a_few_steps_lower_the_loss() -> None:
    model = _net()
    crops = formula.numbers("crops", 4, 3, 32, 32)
    answers = {
        "category": torch.tensor([0, 1, UNANSWERED, 4]),
        "print": torch.tensor([[1, 0, 0], [0, 1, 1], [UNANSWERED] * 3, [0, 0, 0]]),
    }
    losses = losses_while_training(model, lambda: model.loss(model(crops), answers))
    assert losses[-1] < losses[0] / 2


def test_the_embedding_is_what_the_heads_see() -> None:
    model = _net(dropout=0.5).eval()
    crops = formula.numbers("crops", 2, 3, 64, 64)
    with torch.inference_mode():
        embedded = model.embed(crops)
        assert embedded.shape == (2, 512)
        said = model.heads(embedded)
        for key, value in model(crops).items():
            torch.testing.assert_close(said[key], value)


def test_questions_without_attributes_are_refused() -> None:
    with pytest.raises(ValueError, match="questions: at least one"):
        create_model("attributes", questions={}, backbone="resnet18")
