"""The guideline's data specification form (annex 1) filled in from a release, in Korean and English. PURE.

As Markdown for people who read files, and as one HTML page with plots that needs nothing else.
"""

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crowd.core.clock import rfc3339
from crowd.datasets.formats import Format
from crowd.datasets.records import Header, Split
from crowd.datasets.statistics import main_style_images, style_targets
from crowd.datasets.tally import Tally
from crowd.taxonomy import Attribute, Part, Style, Taxonomy, Value


class Language(StrEnum):
    """A language that the form is filled in in."""

    KO = "ko"
    EN = "en"


Words = Mapping[str, tuple[str, str]]
# Every phrase of the form: Korean, English.
PHRASES: Words = {
    "title": ("인공지능 데이터 명세서", "Data specification sheet"),
    "name": ("데이터 이름", "Name"),
    "format": ("데이터 포맷", "Data format"),
    "use": ("활용 분야", "Field of use"),
    "summary": ("데이터 요약", "Summary"),
    "source": ("데이터 출처", "Source"),
    "version": ("배포버전", "Version"),
    "history": ("개정이력", "Revision history"),
    "author": ("작성자/배포자", "Author, distributor"),
    "made_of": ("데이터 구성", "What it is made of"),
    "annotation": ("어노테이션 포맷", "Annotation format"),
    "scale": ("데이터 구축 규모", "Size"),
    "distribution": ("데이터 분포", "Distribution"),
    "comparison": ("기타 활용 통계", "Comparison statistics"),
    "coverage": ("대표성 (Coverage)", "Coverage"),
    "independence": ("독립성", "Independence"),
    "cautions": ("유의사항", "Cautions"),
    "related": ("관련 연구", "Related research"),
    "license": ("이용 조건", "Licence"),
    "unsaid": ("(기재되지 않음)", "(not stated)"),
    "new": ("신규", "New"),
    "withdrawn": ("장의 이미지가 권리 철회로 제외됨", "images were taken out since, their right withdrawn"),
    "remade": (
        "장의 이미지가 새로 만들어짐 (얼굴 가림 또는 자르기)",
        "images were made anew since, faces covered or parts cut off",
    ),
    "images": ("이미지", "images"),
    "garments": ("의류 영역", "garments"),
    "styles": ("스타일", "Styles"),
    "parts": ("부위", "Parts"),
    "splits": ("분할", "Splits"),
    "class": ("클래스", "class"),
    "count": ("개수", "count"),
    "percent": ("비율 (%)", "percent"),
    "aim": ("목표 (%)", "aimed for (%)"),
    "missing": ("한 번도 나타나지 않은 값", "Values that never occur"),
    "occur": ("개 값이 나타남", "values occur"),
    "suppliers": ("개 공급처", "suppliers"),
    "never": ("기재된 값 없음", "never said"),
    "of": ("중", "of"),
    "mean_regions": ("이미지당 의류 영역", "garments per image"),
    "mean_points": ("의류 영역당 폴리곤 점", "polygon points per garment"),
    "mean_styles": ("이미지당 스타일", "styles per image"),
    "size": ("이미지 크기 (px)", "image size (px)"),
    "distance": (
        "목표 분포와의 차이 (총변동거리, %)",
        "distance from the shares aimed for (total variation, %)",
    ),
    "largest": ("가장 많은 스타일", "largest style"),
    "progress": ("목표 수량 대비 진척 (%)", "Progress against the target quantities (%)"),
    "target": ("목표 수량", "target quantity"),
    "all": ("전체", "all"),
    "by_supplier": ("공급처별 이미지", "Images by supplier"),
    "style_progress": ("스타일별 목표 대비 (%)", "Styles against their targets (%)"),
    "supplier_progress": ("공급처별 목표 대비 (%)", "Suppliers against their targets (%)"),
    "results": ("이 데이터로 학습한 모델의 시험 결과", "Test results of models trained on it"),
    "model": ("모델", "model"),
    "figures": ("수치", "figures"),
    "day": ("날짜", "day"),
    "no_results": ("아직 기록된 결과 없음", "none noted yet"),
    "attributes": ("속성", "attributes"),
    "values": ("세부 속성", "values"),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One class of a distribution; `aim` is the share that was aimed for, in percent."""

    name: str
    count: int
    percent: float
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each class of something occurs; percentages are of `total`."""

    title: str
    total: int
    bars: Sequence[Bar]


class Form:
    """The form of one release in one language."""

    def __init__(
        self, header: Header, tally: Tally, chosen: Format, taxonomy: Taxonomy, language: Language
    ) -> None:
        self._header = header
        self._tally = tally
        self._format = chosen
        self._taxonomy = taxonomy
        self._language = language

    def phrase(self, key: str) -> str:
        """A phrase in the form's language."""
        korean, english = PHRASES[key]
        return korean if self._language is Language.KO else english

    @property
    def title(self) -> str:
        """The page's heading."""
        return f"{self._header.about.get('name', self._header.release)}: {self.phrase('title')}"

    def rows(self) -> Iterator[tuple[str, str]]:
        """The fields of the form in the guideline's order, with what is to be said."""
        header, tally = self._header, self._tally
        yield self.phrase("name"), header.about.get("name", header.release)
        yield self.phrase("format"), f"{self._format.name} ({header.layout})"
        for key in ("use", "summary"):
            yield self._told(key)
        yield self.phrase("source"), self._source()
        day = rfc3339(header.created_at)[:10]
        yield self.phrase("version"), f"{header.release}, r{header.revision} ({day})"
        yield self.phrase("history"), self._history()
        yield self._told("author")
        yield self.phrase("made_of"), self._made_of()
        yield self.phrase("annotation"), f"{self._taxonomy.name} {self._taxonomy.version}"
        yield (
            self.phrase("scale"),
            (
                f"{tally.images:,} {self.phrase('images')}, "
                f"{tally.regions.total():,} {self.phrase('garments')}"
            ),
        )
        yield self.phrase("comparison"), "; ".join(self._comparison())
        yield self.phrase("coverage"), self._coverage()
        for key in ("independence", "cautions", "related", "license"):
            yield self._told(key)

    def distributions(self) -> Iterator[Distribution]:
        """Styles, parts, splits and every attribute."""
        tally, taxonomy = self._tally, self._taxonomy
        counts = tally.values["style"]
        yield self._of(self.phrase("styles"), tally.images, counts, taxonomy.styles)
        yield self._of(self.phrase("parts"), tally.regions.total(), tally.regions, taxonomy.parts)
        sizes = [
            Bar(split, tally.splits[split], _percent(tally.splits[split], tally.images)) for split in Split
        ]
        yield Distribution(self.phrase("splits"), tally.images, sizes)
        suppliers = Counter(self._header.suppliers)
        if suppliers:
            yield self._of(self.phrase("by_supplier"), tally.images, suppliers, ())
        for attribute in taxonomy.attributes:
            total = sum(tally.regions[part] for part in attribute.parts)
            yield self._of(self._name(attribute), total, tally.values[attribute.key], attribute.values)

    def progress(self) -> Iterator[Distribution]:
        """What was collected against what is to be, in all, by style and by supplier; percent of the target.

        Nothing where no target was set.
        """
        header, tally, taxonomy = self._header, self._tally, self._taxonomy
        if header.targets.images:
            whole = self._against(self.phrase("all"), tally.images, header.targets.images)
            yield Distribution(self.phrase("progress"), header.targets.images, [whole])
        targets = style_targets(header, taxonomy)
        styles = [
            self._against(self._name(style), main_style_images(tally, style.key), targets[style.key])
            for style in taxonomy.styles
            if style.key in targets
        ]
        if styles:
            yield Distribution(self.phrase("style_progress"), sum(targets.values()), styles)
        suppliers = [
            self._against(name, header.suppliers.get(name, 0), target)
            for name, target in sorted(header.targets.suppliers.items())
            if target
        ]
        if suppliers:
            total = sum(header.targets.suppliers.values())
            yield Distribution(self.phrase("supplier_progress"), total, suppliers)

    def results(self) -> Iterator[tuple[str, str, str, str]]:
        """Model, split, figures and day of each test result."""
        for result in self._header.results:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in result.figures.items())
            yield result.model, result.split.value, figures, rfc3339(result.at)[:10]

    def result_heads(self) -> list[str]:
        """What the columns of `results` are."""
        return [self.phrase(key) for key in ("model", "splits", "figures", "day")]

    def _against(self, name: str, count: int, target: int) -> Bar:
        return Bar(f"{name} ({self.phrase('target')} {target:,})", count, _percent(count, target))

    def missing(self) -> list[str]:
        """What could have been chosen and never was: `attribute: value`."""
        taxonomy, seen = self._taxonomy, self._tally.values
        styles = (style for style in taxonomy.styles if not style.retired)
        lacking = [self._name(style) for style in styles if not seen["style"][style.key]]
        found = [f"{self.phrase('styles')}: {', '.join(lacking)}"] if lacking else []
        for attribute in taxonomy.attributes:
            values = (value for value in attribute.values if not value.retired)
            lacking = [self._name(value) for value in values if not seen[attribute.key][value.key]]
            found += [f"{self._name(attribute)}: {', '.join(lacking)}"] if lacking else []
        return found

    def _told(self, key: str) -> tuple[str, str]:
        return self.phrase(key), self._header.about.get(key) or self.phrase("unsaid")

    def _source(self) -> str:
        counted = f"{len(self._header.suppliers):,}"
        space = "" if self._language is Language.KO else " "
        suppliers = f"{counted}{space}{self.phrase('suppliers')}"
        told = self._header.about.get("source")
        return f"{told} ({suppliers})" if told else suppliers

    def _history(self) -> str:
        told = self._header.about.get("history") or self.phrase("new")
        counts = {"withdrawn": self._header.withdrawn, "remade": self._header.remade}
        since = [f"{count:,} {self.phrase(key)}" for key, count in counts.items() if count]
        return f"{told}; r{self._header.revision}: {'; '.join(since)}" if since else told

    def _made_of(self) -> str:
        taxonomy = self._taxonomy
        values = sum(len(attribute.values) for attribute in taxonomy.attributes)
        sizes = {
            "parts": len(taxonomy.parts),
            "attributes": len(taxonomy.attributes),
            "values": values,
            "styles": len(taxonomy.styles),
        }
        return ", ".join(f"{self.phrase(key)} {size}" for key, size in sizes.items())

    def _comparison(self) -> Iterator[str]:
        tally = self._tally
        regions = tally.regions.total()
        if told := self._header.about.get("comparison"):
            yield told
        if tally.images:
            yield f"{self.phrase('mean_regions')} {regions / tally.images:.2f}"
            yield f"{self.phrase('mean_styles')} {tally.values['style'].total() / tally.images:.2f}"
            smallest, largest = ("x".join(map(str, size)) for size in (tally.smallest, tally.largest))
            yield f"{self.phrase('size')} {smallest} – {largest}"
        if regions:
            yield f"{self.phrase('mean_points')} {tally.points / regions:.1f}"
        if (distance := self._distance()) is not None:
            yield f"{self.phrase('distance')} {distance:.1f}"

    def _distance(self) -> float | None:
        """How far the shares of styles are from those aimed for, both brought to 100 percent."""
        aims = {style.key: style.percent for style in self._taxonomy.styles if style.percent}
        counts = self._tally.values["style"]
        total, aimed = counts.total(), sum(aims.values())
        if not total or not aimed:
            return None
        keys = {*aims, *counts}
        return 50 * sum(abs(counts[key] / total - aims.get(key, 0) / aimed) for key in keys)

    def _coverage(self) -> str:
        taxonomy, seen = self._taxonomy, self._tally.values
        every = [("style", style.key) for style in taxonomy.styles]
        every += [
            (attribute.key, value.key) for attribute in taxonomy.attributes for value in attribute.values
        ]
        occurring = sum(1 for kind, key in every if seen[kind][key])
        told = self._header.about.get("coverage")
        counted = (
            f"{len(every)}개 {self.phrase('of')} {occurring}{self.phrase('occur')}"
            if self._language is Language.KO
            else f"{occurring} {self.phrase('of')} {len(every)} {self.phrase('occur')}"
        )
        return f"{told}; {counted}" if told else counted

    def _of(
        self, title: str, total: int, counts: Counter[str], known: Sequence[Value | Style | Part]
    ) -> Distribution:
        names = {each.key: each for each in known}
        bars = []
        for key in sorted({*names, *counts}, key=lambda key: (-counts[key], key)):
            each = names.get(key)
            aim = each.percent if isinstance(each, Style) else None
            name = self._name(each) if each is not None else key
            bars.append(Bar(name, counts[key], _percent(counts[key], total), aim))
        return Distribution(title, total, bars)

    def _name(self, thing: Attribute | Part | Style | Value) -> str:
        return thing.ko if self._language is Language.KO else thing.en


def as_markdown(form: Form) -> str:
    """The form as Markdown."""
    lines = [f"# {form.title}", "", *_table(("", ""), form.rows())]
    lines += [f"## {form.phrase('distribution')}", ""]
    for each in form.distributions():
        aimed = any(bar.aim is not None for bar in each.bars)
        heads = [form.phrase("class"), form.phrase("count"), form.phrase("percent")]
        rows = (
            [bar.name, f"{bar.count:,}", f"{bar.percent:.2f}", *_aim(bar, aimed)]
            for bar in each.bars
            if bar.count
        )
        heads += [form.phrase("aim")] if aimed else []
        lines += [f"### {each.title}", "", *_table(heads, rows)]
    if progress := list(form.progress()):
        lines += [f"## {form.phrase('progress')}", ""]
        heads = [form.phrase(key) for key in ("class", "count", "percent")]
        for each in progress:
            rows = ([bar.name, f"{bar.count:,}", f"{bar.percent:.2f}"] for bar in each.bars)
            lines += [f"### {each.title}", "", *_table(heads, rows)]
    results = list(form.results())
    lines += [f"## {form.phrase('results')}", ""]
    lines += _table(form.result_heads(), results) if results else [form.phrase("no_results"), ""]
    lines += [f"## {form.phrase('missing')}", "", *(f"- {text}" for text in form.missing() or ["0"]), ""]
    return "\n".join(lines)


def as_html(form: Form, language: Language) -> str:
    """The form as one page; its plots are bars, with a mark where the share aimed for would end."""
    rows = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(text)}</td></tr>" for name, text in form.rows())
    plots = "".join(_plot(each, form.phrase("never")) for each in form.distributions())
    progress = "".join(_plot(each, form.phrase("never"), whole=True) for each in form.progress())
    if progress:
        progress = f"<h2>{_safe(form.phrase('progress'))}</h2><div class=plots>{progress}</div>"
    lines = [form.result_heads(), *form.results()]
    results = "".join(
        "<tr>" + "".join(f"<{cell}>{_safe(text)}</{cell}>" for text in line) + "</tr>"
        for cell, line in zip(["th", *["td"] * (len(lines) - 1)], lines, strict=True)
    )
    told = f"<table class=form>{results}</table>" if len(lines) > 1 else _safe(form.phrase("no_results"))
    missing = "".join(f"<li>{_safe(text)}</li>" for text in form.missing() or ["0"])
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{_safe(form.title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{_safe(form.title)}</h1><table class=form>{rows}</table>"
        f"<h2>{_safe(form.phrase('distribution'))}</h2><div class=plots>{plots}</div>"
        f"{progress}<h2>{_safe(form.phrase('results'))}</h2>{told}"
        f"<h2>{_safe(form.phrase('missing'))}</h2><ul>{missing}</ul></body></html>\n"
    )


STYLE = """
body{font:15px/1.5 "Noto Sans CJK KR","Noto Sans KR",system-ui,sans-serif;color:#1c1c1c;margin:2rem auto;
max-width:70rem;padding:0 1rem}
h1{font-size:1.6rem}
h2{font-size:1.2rem;margin-top:2rem}
h3{font-size:1rem;margin:.2rem 0 .5rem}
table.form{border-collapse:collapse;width:100%}
th,td{border:1px solid #bbb;padding:.4rem .6rem;text-align:left;vertical-align:top}
th{background:#f2f2f2;width:13rem;font-weight:600}
.plots{columns:2 26rem;column-gap:2.5rem}
section{break-inside:avoid-column;margin-bottom:1.5rem}
.row{display:grid;grid-template-columns:9.5rem 1fr 8.5rem;gap:.5rem;align-items:center;font-size:.85rem;
line-height:1.7}
.row span:last-child{text-align:right;font-variant-numeric:tabular-nums;color:#444}
.bar{position:relative;height:.75rem;background:#eee}
.bar i{position:absolute;inset:0 auto 0 0;background:#2b6c99}
.bar b{position:absolute;top:-.15rem;bottom:-.15rem;width:2px;background:#c2410c}
@media print{body{margin:0;max-width:none}
section{break-inside:avoid}
}
"""


def _plot(each: Distribution, never: str, *, whole: bool = False) -> str:
    """One plot; with `whole` also of what never occurs, for that is what is lacking most."""
    shown = [bar for bar in each.bars if bar.count or whole]
    longest = max([bar.percent for bar in shown] + [bar.aim or 0 for bar in shown], default=0) or 1
    lines = []
    for bar in shown:
        mark = f'<b style="left:{100 * bar.aim / longest:.2f}%"></b>' if bar.aim is not None else ""
        drawn = f'<div class=bar><i style="width:{100 * bar.percent / longest:.2f}%"></i>{mark}</div>'
        told = f"<span>{bar.count:,} · {bar.percent:.1f} %</span>"
        lines.append(f"<div class=row><span>{_safe(bar.name)}</span>{drawn}{told}</div>")
    return f"<section><h3>{_safe(each.title)}</h3>{''.join(lines) or _safe(never)}</section>"


def _aim(bar: Bar, aimed: bool) -> list[str]:
    if not aimed:
        return []
    return [f"{bar.aim:g}" if bar.aim is not None else ""]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(_cell(text) for text in line)} |" for line in lines] + [""]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "&#124;").replace("<", "&lt;").split())


def _safe(text: str) -> str:
    return html.escape(text)


def _percent(count: int, total: int) -> float:
    return 100 * count / total if total else 0.0
