"""A model file must give back the very net it was written from, and nothing else may pass for one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from crowd.ml.nets import create_model
from crowd.ml.weights import WeightsError, load_model, read_card, read_state, save_model

OPTIONS: dict[str, Any] = {"labels": 3, "backbone": "resnet18", "size": 32, "word_dim": 5, "hidden": 8}


def test_a_net_comes_back_with_its_weights_its_matrices_and_its_card(tmp_path: Path) -> None:
    correlation = torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 0.75]])
    net = create_model("ml_gcn", **OPTIONS, correlation=correlation).eval()
    card = {"stage": "styles", "net": "ml_gcn", "options": OPTIONS, "classes": ["복고", "b", "c"]}
    save_model(tmp_path / "model.safetensors", net, card)
    again, told = load_model(tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 32, 32)
    assert told == card
    assert not again.training
    assert torch.equal(again(images), net(images))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_files_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    for name in ("text", "plain.safetensors", "missing"):
        with pytest.raises(WeightsError, match=name):
            read_card(tmp_path / name)


def test_a_card_that_is_not_of_its_weights_is_refused(tmp_path: Path) -> None:
    net = create_model("baseline", labels=3, backbone="resnet18", size=32)
    for options in ({"labels": 4, "backbone": "resnet18"}, {"labels": 3, "colour": 1}):
        save_model(tmp_path / "m.safetensors", net, {"net": "baseline", "options": options})
        with pytest.raises(WeightsError, match="does not describe"):
            load_model(tmp_path / "m.safetensors")


def test_published_weights_are_read_in_both_forms_and_nothing_is_executed(tmp_path: Path) -> None:
    state = {"conv1.weight": torch.rand(2, 2)}
    torch.save(state, tmp_path / "old.pth")
    save_file(state, tmp_path / "new.safetensors")
    for name in ("old.pth", "new.safetensors"):
        assert torch.equal(read_state(tmp_path / name)["conv1.weight"], state["conv1.weight"])
    torch.save({"step": 3}, tmp_path / "other.pth")
    torch.save(Path.cwd, tmp_path / "code.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.pth", "code.pth", "text.pth", "none.pth"):
        with pytest.raises(WeightsError, match=name):
            read_state(tmp_path / name)
