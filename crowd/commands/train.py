"""`crowd train`: a model for one task, from a folder of data. Torch is needed from here on, and only here."""

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, get_args, get_type_hints

import click
from rich.progress import TaskID

from crowd.commands.showing import progress_bar
from crowd.core.errors import Problem, field_error
from crowd.ml.hyper import DEFAULTS, MODELS, Hyper, Task
from crowd.taxonomy import load_taxonomy

MODES = ("train", "validate", "test")
EXTRA = frozenset(("torch", "numpy", "safetensors", "pycocotools"))
NOT_FINITE = 1
Command = Callable[..., None]


@click.group()
def train() -> None:
    """Train a model on a data set, or evaluate one: attributes, styles or segmentation.

    DIR is a K-Fashion folder, as `crowd release export` and `crowd synthetic` write it.
    """


def hyper_options(task: Task) -> Callable[[Command], Command]:
    """An option for each hyper-parameter, with the task's default."""

    def decorate(command: Command) -> Command:
        for name, hint in reversed(get_type_hints(Hyper, include_extras=True).items()):
            kind, told = get_args(hint)
            default = getattr(DEFAULTS[task], name)
            default = default.value if isinstance(default, StrEnum) else default
            command = click.option(
                f"--{name.replace('_', '-')}",
                type=_type_of(kind, told.least),
                default=default,
                show_default=True,
                help=told.about,
            )(command)
        return command

    return decorate


def _type_of(kind: type, least: float) -> "click.ParamType[Any]":
    if issubclass(kind, StrEnum):
        return click.Choice([member.value for member in kind])
    if kind is int:
        return click.IntRange(min=int(least))
    return click.FloatRange(min=least) if kind is float else click.STRING


def _task_command(task: Task, about: str) -> None:
    @train.command(task.value, help=about, short_help=about)
    @click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    @click.option(
        "--model",
        type=click.Choice(MODELS[task]),
        default=MODELS[task][0],
        show_default=True,
        help="The net.",
    )
    @click.option("--mode", type=click.Choice(MODES), default="train", show_default=True, help="What to do.")
    @click.option(
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="Where the model goes.",
    )
    @click.option(
        "--weights",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="To train: published weights of the backbone to begin with. Else: a model outside of --output.",
    )
    @click.option(
        "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all dice."
    )
    @click.option("--resume", is_flag=True, help="Go on after the last whole epoch of a training broken off.")
    @click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
    @click.option("--amp", is_flag=True, help="Compute in bfloat16 where it does no harm.")
    @click.option(
        "--model-option",
        "options",
        metavar="NAME=VALUE",
        multiple=True,
        help="An option of the net itself; VALUE is JSON, or else text.",
    )
    @click.option(
        "--word-vectors",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Vectors of the style names for ml_gcn, in word2vec's text form.",
    )
    @click.option(
        "--grow",
        metavar="SHARES",
        help="To train: at these shares of the training images, say 0.25,0.5,1, and report how errors fall.",
    )
    @click.option(
        "--benchmark",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Test on all images of this set: what models are tested on by one set can be compared.",
    )
    @click.option(
        "--other-weights",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="With --grow: on all images, also begin with these (DeepFashion's, say), to compare.",
    )
    @hyper_options(task)
    def command(folder: Path, mode: str, **given: Any) -> None:
        _run(task, folder, mode, **given)


_task_command(Task.ATTRIBUTES, "Attributes of garments, from a crop of each.")
_task_command(Task.STYLES, "Styles of whole images, several at once.")
_task_command(Task.SEGMENTATION, "Garments with their boxes and masks.")


def _run(
    task: Task,
    folder: Path,
    mode: str,
    *,
    model: str,
    output: Path,
    weights: Path | None,
    seed: int,
    resume: bool,
    device: str,
    amp: bool,
    options: tuple[str, ...],
    word_vectors: Path | None,
    grow: str | None,
    benchmark: Path | None,
    other_weights: Path | None,
    **hyper: Any,
) -> None:
    if benchmark and mode == "validate":
        raise field_error("--benchmark", "is a set to test on, not to validate on")
    training = _import_training()
    setting = training.task.Setting(
        task=task,
        model=model,
        hyper=_hyper(hyper),
        output=output,
        seed=seed,
        weights=weights if mode == "train" else None,
        amp=amp,
        options=dict(_option(text) for text in options),
        word_vectors=word_vectors,
    )
    with training.ranks.joined(device) as ranks, _Bar(ranks.leads) as bar:
        taxonomy = load_taxonomy()
        data = training.data.read_folder(folder, taxonomy, bar.reading)
        other = training.data.read_folder(benchmark, taxonomy, bar.reading) if benchmark else None
        if other and not (grow and mode == "train"):
            data = data.tested_on(other)
        bar.say(_told_of(data))
        if mode == "train":
            _make_folder(output)
            try:
                if grow:
                    asked = {"benchmark": other, "other_weights": other_weights}
                    report = training.growth.grow(setting, data, taxonomy, ranks, bar, _shares(grow), **asked)
                    figures = training.growth.last(report)
                else:
                    metrics = training.run.train(setting, data, taxonomy, ranks, bar, resume=resume)
                    figures = metrics.get("test") or metrics["validation"]
            except training.run.NotFinite as stop:
                raise click.ClickException(str(stop)) from None
        else:
            path = weights or output / training.run.WEIGHTS
            split = "validation" if mode == "validate" else mode
            figures = training.run.evaluate(path, setting, data, taxonomy, ranks, split)
        bar.report(figures)


def _hyper(given: Mapping[str, Any]) -> Hyper:
    kinds = get_type_hints(Hyper)
    return Hyper(**{name: kinds[name](value) for name, value in given.items()})


def _shares(text: str) -> list[float]:
    try:
        shares = [float(each) for each in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < each <= 1 for each in shares):
        raise field_error("--grow", f"{text!r} is no list of shares like 0.25,0.5,1")
    return shares


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise field_error("--model-option", f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise field_error("--output", f"{output}: {error.strerror or error}") from None


def _told_of(data: Any) -> str:
    counts = ", ".join(f"{len(data.of(split))} {split}" for split in ("train", "validation", "test"))
    unread = f"; {data.unknown.total()} words are unknown to the taxonomy" if data.unknown else ""
    barred = f"; {data.barred} left out, their contracts do not allow training" if data.barred else ""
    return f"{len(data.samples)} images: {counts}{unread}{barred}"


class _Training:
    """The modules of training, imported together when they are first needed."""

    def __init__(self) -> None:
        self.data = import_module("crowd.ml.data")
        self.ranks = import_module("crowd.ml.training.ranks")
        self.task = import_module("crowd.ml.training.task")
        self.run = import_module("crowd.ml.training.run")
        self.growth = import_module("crowd.ml.training.growth")


def _import_training() -> _Training:
    try:
        return _Training()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise Problem(
            "extra_missing",
            f"Training needs {error.name}, which is not installed: pip install 'crowd[ml]' brings it.",
        ) from None


class _Bar:
    """A bar on stderr and a line for each epoch on stdout; silent in all processes but the leading one."""

    def __init__(self, leads: bool) -> None:
        self._bar = progress_bar() if leads else None
        self._step: TaskID | None = None

    def __enter__(self) -> "_Bar":
        (self._bar or nullcontext()).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.__exit__(kind, error, trace)

    def reading(self, done: int) -> None:
        """So many images were read."""
        if self._bar and self._step is None:
            self._step = self._bar.add_task("Reading", total=None)
        if self._bar and self._step is not None:
            self._bar.update(self._step, completed=done)

    def say(self, line: str) -> None:
        """A line for the reader of stdout."""
        if self._bar:
            click.echo(line)

    def epoch_begins(self, epoch: int, epochs: int, steps: int) -> None:
        """A new bar for the epoch."""
        if self._bar:
            if self._step is not None:
                self._bar.remove_task(self._step)
            self._step = self._bar.add_task(f"Epoch {epoch}/{epochs}", total=steps)

    def step_done(self, loss: float) -> None:
        """One step further."""
        if self._bar and self._step is not None:
            self._bar.update(self._step, advance=1)

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        """The epoch's line."""
        self.say(
            f"epoch {row['epoch']:>3}  loss {row['loss']:.4f}  {row['name']} {row['headline']:.4f}  "
            f"best {row['best']:.4f}  lr {row['lr']:.2g}  {row['seconds']:.1f} s"
        )

    def report(self, figures: Mapping[str, Mapping[str, Any]]) -> None:
        """The figures beside the baseline's."""
        for name, value in figures["model"].items():
            if isinstance(value, float):
                self.say(f"{name:<16} {value:.4f}   prior {figures['prior'][name] or 0:.4f}")
