"""`crowd train` as a user starts it: what it learns, leaves, refuses, and takes up again."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from crowd.cli import main
from crowd.core.errors import Problem
from crowd.datasets.exports import MARKER
from crowd.ml.data import DataSet
from crowd.ml.hyper import DEFAULTS, Hyper, Optimizer, Task
from crowd.ml.nets import create_model
from crowd.ml.training import run
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Setting
from crowd.ml.weights import load_model
from crowd.taxonomy import Taxonomy

ROOT = Path(__file__).resolve().parents[3]
RELEASE = {"release": "spring", "created_at": "2026-03-01T09:30:00.000Z"}
ALONE = Ranks(0, 1, torch.device("cpu"))
HYPER = Hyper(
    backbone="resnet18",
    image_size=32,
    epochs=2,
    batch_size=8,
    optimizer=Optimizer.ADAMW,
    lr=0.001,
    warm_up=1,
    workers=0,
)
SMALL = ("--backbone", "resnet18", "--image-size", "32", "--epochs", "1", "--batch-size", "8")
QUICK = (*SMALL, "--workers", "0", "--device", "cpu")
SMALL_DETECTOR = {
    "width": 32,
    "hidden": 64,
    "proposal_rules": {"kept": [100, 50], "left": [50, 20], "sampled": 64},
    "region_rules": {"sampled": 16, "most": 10},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests run side by side; and sums of floats come out the same with one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def handful(few_read: DataSet) -> DataSet:
    """Sixteen images to learn from, and three each to look at."""
    kept = [*few_read.of("train")[:16], *few_read.of("validation")[:3], *few_read.of("test")[:3]]
    return DataSet(few_read.folder, tuple(kept))


class Silent:
    """A watcher that remembers the epochs, and breaks off after one if told to."""

    def __init__(self, stop_after: int = 0) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.stop_after = stop_after

    def epoch_begins(self, epoch: int, epochs: int, steps: int) -> None:
        """Nothing to show."""

    def step_done(self, loss: float) -> None:
        """Nothing to show."""

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == self.stop_after:
            raise KeyboardInterrupt


def crowd_train(*words: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, words)])


def comparable(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics without the times, which are never the same."""
    kept = {key: value for key, value in metrics.items() if key != "epochs_done"}
    timed = ("seconds", "processor_seconds")
    rows = [{name: row[name] for name in row if name not in timed} for row in metrics["epochs_done"]]
    return {**kept, "epochs_done": rows}


@pytest.mark.parametrize(
    ("task", "model", "options"),
    [
        (Task.STYLES, "ml_gcn", {"hidden": 16}),
        (
            Task.STYLES,
            "query2label",
            {"dim": 16, "heads": 2, "feedforward": 16, "layers": 1, "dropout": 0.3},
        ),
        (Task.ATTRIBUTES, "attributes", {"dropout": 0.3}),
        (Task.ATTRIBUTES, "fashionnet", {}),
        (Task.SEGMENTATION, "maskrcnn", SMALL_DETECTOR),
    ],
)
def test_a_training_that_is_taken_up_again_ends_as_if_it_had_never_stopped(
    task: Task, model: str, options: dict[str, Any], handful: DataSet, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    def setting(folder: str) -> Setting:
        (tmp_path / folder).mkdir(exist_ok=True)
        return Setting(task, model, HYPER, tmp_path / folder, seed=4, options=options)

    whole = run.train(setting("whole"), handful, taxonomy, ALONE, Silent())
    with pytest.raises(KeyboardInterrupt):
        run.train(setting("broken"), handful, taxonomy, ALONE, Silent(stop_after=1))
    watcher = Silent()
    again = run.train(setting("broken"), handful, taxonomy, ALONE, watcher, resume=True)
    assert [row["epoch"] for row in watcher.rows] == [2]
    assert comparable(again) == comparable(whole)
    ours, theirs = (load_model(tmp_path / name / run.WEIGHTS)[0].state_dict() for name in ("whole", "broken"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_another_seed_ends_elsewhere(handful: DataSet, taxonomy: Taxonomy, tmp_path: Path) -> None:
    losses = []
    for seed in (4, 4, 5):
        setting = Setting(Task.STYLES, "baseline", HYPER, tmp_path, seed=seed)
        losses.append(run.train(setting, handful, taxonomy, ALONE, Silent())["epochs_done"][-1]["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_a_checkpoint_of_another_training_is_not_taken_up(
    few_read: DataSet, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    setting = Setting(Task.STYLES, "baseline", HYPER, tmp_path, seed=4)
    with pytest.raises(KeyboardInterrupt):
        run.train(setting, few_read, taxonomy, ALONE, Silent(stop_after=1))
    words = ("styles", few_read.folder, "--model", "baseline", "--output", tmp_path, *QUICK, "--resume")
    refused = crowd_train(*words)
    assert refused.exit_code == 2
    assert "was begun with seed 4, not 0" in refused.stderr
    nothing = crowd_train(*words[:-1], "--output", tmp_path / "other", "--resume")
    assert nothing.exit_code == 2
    assert "nothing to resume" in nothing.stderr


@pytest.fixture(scope="module")
def trained(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a style model trained by the command for one epoch, on what says it is a release."""
    output = tmp_path_factory.mktemp("trained") / "model"
    exported = output.parent / few.name
    shutil.copytree(few, exported)
    (exported / MARKER).write_text(json.dumps({**RELEASE, "format": "kfashion"}))
    done = crowd_train("styles", exported, "--model", "baseline", "--output", output, *QUICK)
    assert done.exit_code == 0, done.output
    return output


def test_a_training_leaves_weights_figures_card_and_curves_and_nothing_else(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == sorted(
        [run.WEIGHTS, run.METRICS, run.CARD, run.CURVES]
    )
    metrics = json.loads((trained / run.METRICS).read_bytes())
    _, card = load_model(trained / run.WEIGHTS)
    assert card["classes"][:2] == ["street", "resort"]
    assert card["inputs"]["size"] == [32, 32]
    assert card["benchmark"]["score"] == metrics["test"]["model"]["mAP"]
    told = {"name": RELEASE["release"], "created_at": RELEASE["created_at"], "split": "test"}
    assert card["release"] == told
    page = (trained / run.CARD).read_text()
    assert "at random: no published weights were given" in page
    assert (
        f"| `mAP` | {metrics['test']['model']['mAP']:.3f} | {metrics['test']['prior']['mAP']:.3f} |" in page
    )
    assert "| `lr` | " not in page
    assert "| lr | `0.001` |" in page
    with Image.open(trained / run.CURVES) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(("mode", "split"), [("test", "test"), ("validate", "validation")])
def test_evaluating_gives_the_stored_figures_again(mode: str, split: str, few: Path, trained: Path) -> None:
    stored = json.loads((trained / run.METRICS).read_bytes())[split]
    before = (trained / run.WEIGHTS).read_bytes()
    done = crowd_train("styles", few, "--mode", mode, "--output", trained, "--workers", "0")
    assert done.exit_code == 0, done.output
    for name, value in stored["model"].items():
        if isinstance(value, float):
            line = f"{name:<16} {value:.4f}   prior {stored['prior'][name] or 0:.4f}"
            assert line in done.stdout.splitlines()
    assert (trained / run.WEIGHTS).read_bytes() == before


def test_a_model_is_tested_on_all_images_of_a_benchmark_set(
    few: Path, few_read: DataSet, trained: Path
) -> None:
    everything = len(few_read.samples)
    asked = ("styles", few, "--output", trained, "--workers", "0", "--benchmark", few)
    done = crowd_train(*asked, "--mode", "test")
    assert done.exit_code == 0, done.output
    assert f" {everything} test" in done.stdout
    own = json.loads((trained / run.METRICS).read_bytes())["test"]["model"]["mAP"]
    assert f"mAP              {own:.4f}" not in done.stdout
    refused = crowd_train(*asked, "--mode", "validate")
    assert (refused.exit_code, "--benchmark" in refused.stderr) == (2, True)


def test_trainings_on_different_data_are_compared_on_one_benchmark_set(
    few: Path, few_read: DataSet, tmp_path: Path
) -> None:
    cards = []
    for name in ("spring", "autumn"):
        # Both folders have one name, as exports of two releases to one place have.
        folder = tmp_path / name / "export"
        shutil.copytree(few, folder)
        for look in [] if name == "spring" else sorted(folder.glob("Test/*/*.json"))[:4]:
            look.unlink()
        for more in ((), ("--benchmark", few)):
            output = tmp_path / name / f"model{len(more)}"
            words = ("styles", folder, "--model", "baseline", "--output", output, *QUICK, *more)
            done = crowd_train(*words)
            assert done.exit_code == 0, done.output
            cards.append(load_model(output / run.WEIGHTS)[1]["benchmark"])
    assert cards[0]["set"] != cards[2]["set"], "other images, whatever the folder is called"
    assert cards[0]["set"].startswith("export test ")
    assert cards[1]["set"] == cards[3]["set"] == few_read.tested_on(few_read).called("test")
    assert cards[0]["score"] != cards[1]["score"]


def test_a_training_is_not_taken_up_on_other_data_or_weights(
    few_read: DataSet, handful: DataSet, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    setting = Setting(Task.STYLES, "baseline", HYPER, tmp_path, seed=4)
    with pytest.raises(KeyboardInterrupt):
        run.train(setting, handful, taxonomy, ALONE, Silent(stop_after=1))
    with pytest.raises(Problem, match="begun with data"):
        run.train(setting, few_read, taxonomy, ALONE, Silent(), resume=True)
    net = create_model("baseline", labels=5, backbone="resnet18", size=32)
    torch.save(
        {
            name.removeprefix("backbone."): each
            for name, each in net.state_dict().items()
            if name.startswith("backbone.")
        },
        tmp_path / "r18.pth",
    )
    weighed = replace(setting, weights=tmp_path / "r18.pth")
    with pytest.raises(Problem, match="begun with weights None"):
        run.train(weighed, handful, taxonomy, ALONE, Silent(), resume=True)


def test_a_model_is_not_evaluated_as_another_task(few: Path, trained: Path) -> None:
    done = crowd_train("attributes", few, "--mode", "test", "--output", trained)
    assert (done.exit_code, "was trained for styles" in done.stderr) == (2, True)


def test_a_loss_that_is_not_finite_stops_the_training(few: Path, tmp_path: Path) -> None:
    words = ("styles", few, "--model", "baseline", "--output", tmp_path, *QUICK)
    done = crowd_train(*words, "--lr", "1e30", "--clip", "0", "--optimizer", "sgd", "--epochs", "3")
    assert done.exit_code == 1
    assert "the loss is" in done.stderr
    assert "nan" in done.stderr or "inf" in done.stderr
    assert not (tmp_path / run.WEIGHTS).exists()


def test_published_weights_begin_the_backbone_and_the_card_says_so(few: Path, tmp_path: Path) -> None:
    net = create_model("baseline", labels=5, backbone="resnet18", size=32)
    published = {
        name.removeprefix("backbone."): each
        for name, each in net.state_dict().items()
        if name.startswith("backbone.")
    }
    published["conv1.weight"] = torch.full_like(published["conv1.weight"], 0.01)
    torch.save(
        {**published, "fc.weight": torch.zeros(9, 512), "fc.bias": torch.zeros(9)}, tmp_path / "r18.pth"
    )
    words = ("styles", few, "--model", "baseline", "--output", tmp_path / "out", *QUICK)
    done = crowd_train(*words, "--weights", tmp_path / "r18.pth", "--lr-pretrained", "0")
    assert done.exit_code == 0, done.output
    began, card = load_model(tmp_path / "out" / run.WEIGHTS)
    # A learning rate of 0 leaves the published weights as they were; the head has learnt.
    assert torch.allclose(began.state_dict()["backbone.conv1.weight"], published["conv1.weight"])
    assert card["training"]["initialised"] == "published weights r18.pth"
    wrong = crowd_train(*words, "--weights", tmp_path / "r18.pth", "--backbone", "resnet50")
    assert wrong.exit_code == 2
    assert "not of this backbone" in wrong.stderr


def without_validation(few: Path, tmp_path: Path) -> Path:
    shutil.copytree(few, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "Validation")
    return tmp_path / "copy"


def truncated_image(few: Path, tmp_path: Path) -> Path:
    shutil.copytree(few, tmp_path / "copy")
    image = next((tmp_path / "copy" / "Training").rglob("*.jpg"))
    image.write_bytes(image.read_bytes()[:700])
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (without_validation, "has no validation images"),
        (truncated_image, "cannot be decoded"),
        (lambda few, tmp_path: tmp_path / "nowhere", "no such folder"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_bad_folder_is_refused(
    harm: Callable[[Path, Path], Path], said: str, workers: str, few: Path, tmp_path: Path
) -> None:
    words = ("styles", harm(few, tmp_path), "--model", "baseline", "--output", tmp_path / "out")
    done = crowd_train(*words, *QUICK, "--workers", workers)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "resnet"), "--model"),
        (("--backbone", "resnet7"), "resnet7"),
        (("--epochs", "0"), "--epochs"),
        (("--schedule", "up"), "--schedule"),
        (("--device", "toaster"), "--device"),
        (("--model-option", "colour=1"), "colour"),
        (("--model-option", "colour"), "NAME=VALUE"),
        (("--model-option", "p=2"), "p: 2"),
        (("--weights", "nowhere.pth"), "--weights"),
        (("--model", "baseline", "--word-vectors", "pyproject.toml"), "--word-vectors"),
    ],
)
def test_bad_options_are_refused_by_name(
    words: tuple[str, ...], said: str, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = crowd_train("styles", few, "--output", tmp_path, *QUICK, *words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr


def test_every_hyper_parameter_is_an_option_with_the_default_of_its_task() -> None:
    styles = crowd_train("styles", "--help").stdout
    for name in Hyper.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in styles
    assert "[default: 448;" in styles
    assert "[default: 800;" in crowd_train("segmentation", "--help").stdout
    guideline = DEFAULTS[Task.STYLES]
    assert (guideline.image_size, guideline.epochs, guideline.workers) == (448, 50, 4)
    assert (guideline.lr, guideline.lr_pretrained) == (0.001, 0.001)
    assert (guideline.momentum, guideline.weight_decay) == (0.9, 1e-4)


def test_without_torch_the_command_says_what_to_install_and_help_works() -> None:
    def crowd(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; sys.modules['torch'] = None; from crowd.cli import main; main(sys.argv[1:])"
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)

    refused = crowd("train", "styles", ".", "--output", "nowhere")
    assert refused.returncode == 2
    assert "pip install 'crowd[ml]'" in refused.stderr
    assert crowd("train", "styles", "--help").returncode == 0
    assert crowd("--help").returncode == 0


def test_without_its_neighbours_a_label_stands_alone_in_the_graph(few: Path, tmp_path: Path) -> None:
    links = {}
    for p in ("0", "0.25"):
        words = ("styles", few, "--output", tmp_path / p, *QUICK, "--model-option")
        assert crowd_train(*words, f"p={p}", "--model-option", "tau=0.3").exit_code == 0
        adjacency = load_model(tmp_path / p / run.WEIGHTS)[0].state_dict()["adjacency"]
        links[p] = int((adjacency > 0).sum()) - len(adjacency)
    assert links["0"] == 0
    assert links["0.25"] > 5


def test_word_vectors_are_means_of_the_words_of_a_name(few: Path, tmp_path: Path, taxonomy: Taxonomy) -> None:
    names = {word for style in taxonomy.styles for word in style.key.replace("/", "-").split("-")}
    lines = [f"{word} {number}.0 1.5 -2.0" for number, word in enumerate(sorted(names))]
    (tmp_path / "vectors.txt").write_text("\n".join([f"{len(lines)} 3", *lines]))
    words = ("styles", few, "--output", tmp_path / "out", *QUICK, "--word-vectors")
    done = crowd_train(*words, tmp_path / "vectors.txt")
    assert done.exit_code == 0, done.output
    vectors = load_model(tmp_path / "out" / run.WEIGHTS)[0].state_dict()["word_vectors"]
    place = [style.key for style in taxonomy.styles].index("kitsch/kidult")
    numbers = [sorted(names).index(word) for word in ("kitsch", "kidult")]
    assert vectors[place].tolist() == pytest.approx([sum(numbers) / 2, 1.5, -2.0])
    (tmp_path / "vectors.txt").write_text("\n".join(line for line in lines if not line.startswith("street")))
    refused = crowd_train(*words, tmp_path / "vectors.txt")
    assert (refused.exit_code, "has no vector of" in refused.stderr) == (2, True)


def test_two_processes_train_together_and_one_of_them_writes(few: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    command += ["-m", "crowd", "train", "styles", str(few), "--model", "ml_gcn", "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, *QUICK],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("epoch   1") == 1
    metrics = json.loads((tmp_path / run.METRICS).read_bytes())
    assert metrics["processes"] == 2
    assert metrics["test"]["model"]["images"] == metrics["images"]["test"]
    assert math.isfinite(metrics["epochs_done"][0]["loss"])
    again = crowd_train("styles", few, "--mode", "test", "--output", tmp_path, "--workers", "0")
    assert f"{'mAP':<16} {metrics['test']['model']['mAP']:.4f}" in again.stdout
