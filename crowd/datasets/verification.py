"""The report of an outside look at an export, as an inspector hands it in: a verdict a kind. PURE."""

from collections.abc import Mapping, Sequence

from crowd.datasets.check import CheckReport

# What is looked at, in the order of the report.
KINDS: Mapping[str, str] = {
    "form": "Every file can be read and has the form that it should have; images carry no metadata.",
    "completeness": "Every image that is listed is there with its labels, and no other.",
    "range": "Every value is one of the taxonomy's, and every outline lies within its image.",
    "consistency": "What is said twice is said alike: sizes, splits, digests, parts and their attributes.",
    "balance": "The splits have about the shares 80:10:10.",
}


def render(title: str, report: CheckReport, released: int, audits: Sequence[str] = ()) -> str:
    """The report as Markdown; `released` is how many images there should be. Lists every violation.

    `audits`: a line for each audit before the release, and for each signature under it.
    """
    problems = dict(report.kinds)
    lines = [
        f"# Verification report: {title}",
        "",
        f"{report.images:,} images were read of {released:,} released.",
        f"{len(report.problems):,} violations: the export {'does not hold' if report.problems else 'holds'}.",
        "",
        "| looked at | violations | verdict |",
        "| --- | ---: | --- |",
    ]
    for kind, meaning in KINDS.items():
        count = problems.get(kind, 0)
        lines.append(f"| **{kind}**: {meaning} | {count:,} | {'not met' if count else 'met'} |")
    lines += ["", "## Audits before the release", "", *(_items(audits) or ["None."])]
    lines += ["", "## Every violation", "", *(_items(report.problems) or ["None."])]
    return "\n".join([*lines, ""])


def _items(texts: Sequence[str]) -> list[str]:
    return [f"- {' '.join(text.replace('<', '&lt;').split())}" for text in texts]
