"""Which trainings make up a plan, and what each of them has to reach. Data alone."""

import math
from dataclasses import dataclass

Words = tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One model on the plan's set, once for each seed, with options of `crowd train`."""

    task: str
    model: str
    options: Words
    seeds: int = 1
    label: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.label or self.model


@dataclass(frozen=True)
class Plan:
    """A drawn set (`size`: its images' width in px), the trainings on it, and options of them all.

    `most_seconds`: how long the epochs of a training may take together. `held_out`: so many images of another
    set are tested on, instead of the test split (0), which has too few of rare styles to tell nets apart.
    """

    images: int
    size: int
    common: Words
    runs: tuple[Run, ...]
    most_seconds: float = math.inf
    held_out: int = 0


@dataclass(frozen=True)
class Bar:
    """What a task's model has to reach on held-out images: so much above the prior, and at least that."""

    figure: str
    above_prior: float
    least: float = 0.0


BARS = {
    "attributes": Bar("top1", 0.15),
    "styles": Bar("mAP", 0.15),
    "segmentation": Bar("mask_AP50", 0.4, 0.7),
}


def words(text: str) -> Words:
    return tuple(text.split())


ADAM = "--optimizer adamw --weight-decay 0.01 --schedule cosine --warm-up 1"
# Nets for images of 128 px: fewer proposals and narrower heads than for photographs.
SMALL_DETECTOR = (
    "--model-option width=64 --model-option hidden=256 "
    '--model-option proposal_rules={"kept":[300,200],"left":[200,60],"sampled":128} '
    '--model-option region_rules={"sampled":48,"most":20}'
)
MEAN = "--model-option pool=mean"
SMALL_QUERIES = (
    "--model-option dim=256 --model-option heads=4 --model-option feedforward=1024 --model-option layers=1"
)


def style_runs(options: str, seeds: int) -> tuple[Run, ...]:
    return (
        Run("styles", "baseline", words(options), seeds),
        # Pooled as the nets it is compared with: the rest of the difference is the graph's.
        Run("styles", "ml_gcn", words(f"{options} {MEAN}"), seeds),
        Run("styles", "ml_gcn", words(f"{options} {MEAN} --model-option p=0"), seeds, "ml_gcn-without-graph"),
        Run("styles", "query2label", words(f"{options} {SMALL_QUERIES}")),
    )


PLANS = {
    # Two processors, 20 minutes a model at the most. What is looked for first comes first.
    "cpu": Plan(
        1500,
        128,
        words(f"{ADAM} --backbone resnet18 --device cpu --workers 0"),
        (
            Run(
                "segmentation",
                "maskrcnn",
                words(f"--image-size 128 --epochs 4 --batch-size 4 --lr 0.001 {SMALL_DETECTOR}"),
            ),
            *style_runs("--image-size 64 --epochs 6 --batch-size 32 --lr 0.001", 3),
            Run("attributes", "attributes", words("--image-size 64 --epochs 8 --batch-size 64 --lr 0.002")),
            Run("attributes", "fashionnet", words("--image-size 64 --epochs 10 --batch-size 32 --lr 0.001")),
            Run(
                "attributes",
                "attributes",
                words("--backbone vgg16 --image-size 32 --epochs 6 --batch-size 64 --lr 0.0003"),
                label="attributes-vgg16",
            ),
        ),
        most_seconds=1200.0,
        held_out=1000,
    ),
    "gpu-128": Plan(
        6000,
        128,
        words(f"{ADAM} --backbone resnet18 --device cuda --workers 5"),
        (
            Run("segmentation", "maskrcnn", words("--image-size 128 --epochs 5 --batch-size 32 --lr 0.001")),
            Run(
                "attributes",
                "attributes",
                words("--image-size 128 --epochs 30 --batch-size 128 --lr 0.001 --amp"),
            ),
            Run(
                "attributes",
                "fashionnet",
                words("--image-size 128 --epochs 30 --batch-size 64 --lr 0.001 --amp"),
            ),
            *style_runs("--image-size 128 --epochs 30 --batch-size 64 --lr 0.001 --amp", 3),
        ),
    ),
    "gpu-256": Plan(
        4000,
        256,
        words(f"{ADAM} --backbone resnet50 --device cuda --workers 5"),
        (
            Run("segmentation", "maskrcnn", words("--image-size 256 --epochs 5 --batch-size 16 --lr 0.0003")),
            Run(
                "attributes",
                "attributes",
                words("--image-size 160 --epochs 20 --batch-size 128 --lr 0.0005 --amp"),
            ),
            Run(
                "attributes",
                "fashionnet",
                words("--image-size 256 --epochs 20 --batch-size 64 --lr 0.0005 --amp"),
            ),
            *style_runs("--image-size 256 --epochs 12 --batch-size 64 --lr 0.0005 --amp", 3),
        ),
    ),
    # A look at whether everything runs.
    "tiny": Plan(
        80,
        64,
        words(f"{ADAM} --backbone resnet18 --device cpu --workers 0 --epochs 1 --image-size 32"),
        (
            Run("attributes", "attributes", ()),
            Run("attributes", "fashionnet", ()),
            *style_runs("", 1),
            Run("segmentation", "maskrcnn", words(f"--image-size 64 --batch-size 8 {SMALL_DETECTOR}")),
        ),
    ),
}
