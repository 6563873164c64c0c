"""The data specification sheet of an export: its figures, and what its format could not say. PURE."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from crowd.core.clock import rfc3339
from crowd.datasets.formats import Format
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.records import Header, Split
from crowd.datasets.tally import Tally
from crowd.taxonomy import Match, Taxonomy

Row = Sequence[object]


def render(header: Header, tally: Tally, chosen: Format, taxonomy: Taxonomy) -> str:
    """The sheet as Markdown, in English with the Korean names; the same for every writing of one export."""
    return "\n".join(
        [
            f"# {header.release}",
            "",
            "Data specification sheet.",
            "",
            *_table(("", ""), _facts(header, tally, chosen, taxonomy)),
            "## Splits",
            "",
            "Images of one look (`PREFIX_NNN_MM.jpg`: the look is `PREFIX_NNN`) and images that are nearly",
            "the same are never on two sides, and each style is divided 80:10:10 as nearly as that allows.",
            "",
            *_table(("split", "images", "percent"), _splits(tally)),
            "## Styles",
            "",
            "By main style; *as second* counts images that have it besides their main style,",
            "*aimed for* is the taxonomy's target share in percent.",
            "",
            *_table(
                ("style", "Korean", "images", "percent", "aimed for", *Split, "as second"),
                _styles(tally, taxonomy),
            ),
            "## Garments",
            "",
            *_table(("part", "Korean", "regions"), _parts(tally, taxonomy)),
            "## Test results",
            "",
            *_results(header),
            "## How to load it",
            "",
            "```python",
            chosen.guide(header).load,
            "```",
            "",
            *_points(chosen.guide(header).notes),
            "## What this format loses",
            "",
            *_points(chosen.guide(header).losses or ("Nothing by itself.",)),
            "## Values written otherwise",
            "",
            *_changes(tally, chosen, taxonomy),
        ]
    )


def _points(texts: Iterable[str]) -> list[str]:
    points = [f"- {text}" for text in texts]
    return [*points, ""] if points else []


def _facts(header: Header, tally: Tally, chosen: Format, taxonomy: Taxonomy) -> Iterator[Row]:
    yield "release", header.release
    yield "frozen at", rfc3339(header.created_at)
    yield "images", tally.images
    yield "garments", sum(tally.regions.values())
    yield "format", f"{chosen.name}, layout {header.layout}"
    yield "taxonomy", f"{taxonomy.name}, version {taxonomy.version}"
    yield "taxonomy digest", taxonomy.digest
    yield (
        "list of images",
        "`manifest.csv`: id, split, main style, files, SHA-256 of the image file, may models learn from it",
    )
    if tally.untrainable:
        yield "not for training", f"{tally.untrainable} images: `training` is `no` in `manifest.csv`"


def _splits(tally: Tally) -> Iterator[Row]:
    for split in Split:
        yield split, tally.splits[split], _percent(tally.splits[split], tally.images)


def _styles(tally: Tally, taxonomy: Taxonomy) -> Iterator[Row]:
    totals: Counter[str] = Counter()
    for (key, _), count in tally.styles.items():
        totals[key] += count
    known = {style.key: style for style in taxonomy.styles}
    for key in sorted({*known, *totals, *tally.second_styles}, key=lambda key: (-totals[key], key)):
        style = known.get(key)
        aim = f"{style.percent:g}" if style and style.percent is not None else ""
        shares = [tally.styles[key, split] for split in Split]
        yield (
            key or "(none)",
            style.ko if style else "",
            totals[key],
            _percent(totals[key], tally.images),
            aim,
            *shares,
            tally.second_styles[key],
        )


def _parts(tally: Tally, taxonomy: Taxonomy) -> Iterator[Row]:
    for part in taxonomy.parts:
        yield part.key, part.ko, tally.regions[part.key]


def _results(header: Header) -> list[str]:
    if not header.results:
        return ["No test result of a model trained on this release was noted yet.", ""]
    rows = (
        (
            result.model,
            result.split,
            ", ".join(f"{name} {value:.4g}" for name, value in result.figures.items()),
            rfc3339(result.at)[:10],
        )
        for result in header.results
    )
    return _table(("model", "split", "figures", "noted"), rows)


def _changes(tally: Tally, chosen: Format, taxonomy: Taxonomy) -> list[str]:
    if not tally.changed:
        return ["Every value was written in its own word.", ""]
    said = [
        f"The vocabulary of {chosen.name} lacks some values:",
        "they were written as the nearest word, or left out.",
        "",
    ]
    ordered = sorted(tally.changed, key=lambda value: (value.attribute, value.part or "", value.key))
    rows = (
        (
            value.attribute,
            value.part or "",
            value.key,
            _korean(value, taxonomy),
            value.ko or "left out",
            _how(value),
            tally.changed[value],
        )
        for value in ordered
    )
    return said + _table(("attribute", "part", "value", "Korean", "written as", "why", "times"), rows)


def _how(value: Written) -> str:
    if value.how == Match.NEAREST:
        return "nearest word"
    return "no word for it" if value.how == Match.OMITTED else value.how


def _korean(value: Written, taxonomy: Taxonomy) -> str:
    if value.attribute == "style":
        style = taxonomy.style(value.key)
        return style.ko if style else ""
    attribute = taxonomy.attribute(value.attribute)
    if attribute is not None and attribute.values_from:
        attribute = taxonomy.attribute(attribute.values_from) or attribute
    found = attribute.value(value.key) if attribute else None
    return found.ko if found else ""


def _table(heads: Sequence[str], rows: Iterable[Row]) -> list[str]:
    lines = [_line(heads), _line(["---"] * len(heads))]
    return [*lines, *(_line(row) for row in rows), ""]


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in cells)} |"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}" if total else ""
