"""Reading the kept figures: sums by person, group, stage, style, supplier and week, and what they come to.

Reads the sums by day alone, never answers or tasks: what it costs depends on days and people.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Group, Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.images.models import Supplier
from crowd.policy import Stage
from crowd.review import agreement
from crowd.steering import comparing
from crowd.steering.models import (
    AgreementWeek,
    Basis,
    ErrorDay,
    FixDay,
    ImageDay,
    StyleDay,
    SupplierAgreementWeek,
    SupplierDay,
    WorkDay,
)
from crowd.steering.telling import UNIT, monday
from crowd.tasks.flow import REVIEWING

Item = dict[str, Any]
Cells = dict[tuple[str, str], float]

_WORK = (
    "answers",
    "sent_back",
    "unusable",
    "passed",
    "rejected",
    "timed",
    "milliseconds",
    "bounced",
    "missed",
    "compared",
    "likeness",
    "revised",
    "kept",
    "fixed",
)
_IMAGES = ("uploaded", "accepted", "held", "refused", "withdrawn", "reopened")
_STYLE = ("named", "main", "unsure", "agreed", "disagreed", "bounced", "added", "removed", "accepted")


class By(StrEnum):
    """What figures are told apart by."""

    WORKER = "worker"
    GROUP = "group"
    SUPPLIER = "supplier"
    STYLE = "style"
    WEEK = "week"


# The column of a table of sums that holds it; a week's days, or the week itself, are added up afterwards.
_COLUMN_OF = {
    By.WORKER: ("worker_id",),
    By.GROUP: ("group_id",),
    By.SUPPLIER: ("supplier_id",),
    By.STYLE: ("style",),
    By.WEEK: ("day", "week"),
}
_OF_PEOPLE = (By.WORKER, By.GROUP)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which days (both included), and whose: what is None does not narrow. `by`: told apart by what."""

    since: date | None = None
    until: date | None = None
    stage: Stage | None = None
    worker_id: int | None = None
    group_id: int | None = None
    supplier_id: int | None = None
    style: str | None = None
    by: By | None = None

    @property
    def is_of_all_days(self) -> bool:
        """Whether no day and no stage is left out."""
        return self.since is None and self.until is None and self.stage is None

    def of(self, table: Any) -> list[sa.ColumnElement[bool]]:
        """Conditions on a table of sums; only those its columns know."""
        day = table.__table__.columns.get("day")
        if day is None:
            day = table.week
        first = monday(self.since) if self.since and day.name == "week" else self.since
        conditions = [] if first is None else [day >= first]
        conditions += [] if self.until is None else [day <= self.until]
        for name in ("stage", "worker_id", "group_id", "supplier_id", "style"):
            column, value = table.__table__.columns.get(name), getattr(self, name)
            if column is not None and value is not None:
                conditions.append(column == value)
        return conditions

    def key_of(self, table: Any) -> sa.ColumnElement[Any]:
        """The column by which rows of a table of sums are told apart; a constant where by nothing."""
        columns = table.__table__.columns
        names = _COLUMN_OF[self.by] if self.by else ()
        found = next((columns[name] for name in names if name in columns), None)
        return (sa.null() if found is None else found).label("key")

    def told(self, key: Any) -> str | None:
        """A key as it is told: an id, a style, an ISO week; None where rows are not told apart."""
        if self.by is None:
            return None
        return _iso(monday(key)) if self.by is By.WEEK else str(key)

    def keyed(self, item: Item, key: str | None) -> Item:
        """The item, with what it is of."""
        return item if key is None else {"key": key, **item}


def workers(
    conn: Connection,
    wanted: Wanted,
    after: int | None,
    limit: int,
    stages: Sequence[Stage] = tuple(Stage),
) -> list[Item]:
    """What each person did at these stages, by id beyond `after`; whoever did nothing is left out."""
    query = (
        _sums(WorkDay, WorkDay.worker_id)
        .where(*wanted.of(WorkDay), WorkDay.stage.in_(stages))
        .group_by(WorkDay.worker_id)
        .having(sa.func.sum(WorkDay.answers) > 0)
        .order_by(WorkDay.worker_id)
        .limit(limit)
    )
    rows = conn.execute(query if after is None else query.where(WorkDay.worker_id > after)).all()
    people = conn.execute(
        sa.select(Worker.id, Worker.username, Worker.grade).where(
            Worker.id.in_([row.worker_id for row in rows])
        )
    )
    named = {person.id: person for person in people}
    return [
        {
            "worker_id": row.worker_id,
            "username": named[row.worker_id].username,
            "grade": named[row.worker_id].grade,
            **_rates(row),
        }
        for row in rows
    ]


def reviewers(conn: Connection, wanted: Wanted, after: int | None, limit: int) -> list[Item]:
    """What each reviewer did, with how far their scores agree with those who judged the same."""
    items = workers(conn, wanted, after, limit, REVIEWING)
    cells = _cells_by_worker(conn, wanted, [item["worker_id"] for item in items])
    for item in items:
        own = cells[item["worker_id"]]
        item["kappa"] = agreement.kappa(own, agreement.quadratic)
        item["pairs"] = sum(own.values())
    return items


def groups(conn: Connection, wanted: Wanted, after: int | None, limit: int) -> list[Item]:
    """What the members of each group did while they were members; id 0: people in no group."""
    query = (
        _sums(WorkDay, WorkDay.group_id)
        .add_columns(sa.func.count(WorkDay.worker_id.distinct()).label("workers"))
        .where(*wanted.of(WorkDay))
        .group_by(WorkDay.group_id)
        .having(sa.func.sum(WorkDay.answers) > 0)
        .order_by(WorkDay.group_id)
        .limit(limit)
    )
    rows = conn.execute(query if after is None else query.where(WorkDay.group_id > after)).all()
    named = {row.id: row for row in conn.execute(sa.select(Group.id, Group.kind, Group.name))}
    return [
        {
            "group_id": row.group_id,
            "name": named[row.group_id].name if row.group_id else None,
            "kind": named[row.group_id].kind if row.group_id else None,
            "workers": row.workers,
            **_rates(row),
        }
        for row in rows
    ]


def stages(conn: Connection, wanted: Wanted) -> list[Item]:
    """What was done at each stage, in the order of the process."""
    query = _sums(WorkDay, WorkDay.stage).where(*wanted.of(WorkDay)).group_by(WorkDay.stage)
    found = {row.stage: row for row in conn.execute(query)}
    return [{"stage": stage, **_rates(found[stage])} for stage in Stage if stage in found]


def weeks(conn: Connection, wanted: Wanted) -> list[Item]:
    """What was done in each ISO week, oldest first, with how many images came to be accepted.

    Acceptances know a supplier, not who did what: they are told only where nobody is asked for by name.
    """
    of_all = wanted.worker_id is None and wanted.group_id is None and wanted.stage is None
    table: Any = WorkDay if wanted.supplier_id is None else SupplierDay
    # Day by day there is one day: counting them would have the rows read in the order of an index.
    by_day = sa.select(table.day, *_work_sums(table), sa.literal(1).label("days"))
    by_day = by_day.where(*wanted.of(table)).group_by(table.day)
    work: dict[date, Counter[str]] = defaultdict(Counter)
    for row in conn.execute(by_day):
        work[monday(row.day)].update({name: int(getattr(row, name)) for name in (*_WORK, "days")})
    images: Counter[date] = Counter()
    accepted = sa.select(ImageDay.day, sa.func.sum(ImageDay.accepted)).where(*wanted.of(ImageDay))
    for day, count in conn.execute(accepted.group_by(ImageDay.day)) if of_all else ():
        images[monday(day)] += int(count)
    return [
        {
            "week": _iso(week),
            "starts_on": week,
            "accepted": images[week] if of_all else None,
            **_rates_of(work[week]),
        }
        for week in sorted({*work, *images})
    ]


def suppliers(
    conn: Connection, wanted: Wanted, after: int | None, limit: int, targets: Mapping[str, int]
) -> list[Item]:
    """What became of each supplier's images, how the answers on them did, and the targets (by name)."""
    query = sa.select(Supplier.id, Supplier.name).order_by(Supplier.id).limit(limit)
    if wanted.supplier_id is not None:
        query = query.where(Supplier.id == wanted.supplier_id)
    rows = conn.execute(query if after is None else query.where(Supplier.id > after)).all()
    ids = [row.id for row in rows]
    images = _totals(conn, ImageDay, ImageDay.supplier_id, ids, _IMAGES, wanted)
    work = _totals(conn, SupplierDay, SupplierDay.supplier_id, ids, _WORK, wanted)
    return [
        {
            "supplier_id": row.id,
            "name": row.name,
            **{name: images[row.id][name] for name in _IMAGES},
            **_against(images[row.id]["accepted"], targets.get(row.name), wanted),
            **_rates_of(work[row.id]),
        }
        for row in rows
    ]


def styles(conn: Connection, wanted: Wanted, targets: Mapping[str, int]) -> list[Item]:
    """What experts made of each style: how often, how surely, how unanimously, how rightly; and the targets.

    Of all days together also the styles with a target (by key) that nobody has named yet.
    """
    columns = [_sum(StyleDay.__table__.columns[name]).label(name) for name in _STYLE]
    query = sa.select(StyleDay.style, *columns).where(*wanted.of(StyleDay)).group_by(StyleDay.style)
    found = {row.style: {name: getattr(row, name) for name in _STYLE} for row in conn.execute(query)}
    if wanted.is_of_all_days:
        found = {**{style: dict.fromkeys(_STYLE, 0) for style in targets}, **found}
    return [
        {
            "style": style,
            **counts,
            **_against(counts["accepted"], targets.get(style), wanted),
            "unsure_rate": _share(counts["unsure"], counts["named"]),
            "agreement": _share(counts["agreed"], counts["agreed"] + counts["disagreed"]),
            "error_rate": _share(counts["bounced"], counts["named"]),
        }
        for style, counts in sorted(found.items())
    ]


def _against(accepted: int, target: int | None, wanted: Wanted) -> Item:
    """A target and how much of it is reached; the images of some days alone are held against none."""
    if target is None or not wanted.is_of_all_days:
        return {"target": None, "reached": None}
    return {"target": target, "reached": _share(accepted, target)}


def errors(conn: Connection, wanted: Wanted) -> list[Item]:
    """The reasons of bounces, by the stage whose answer they reject, the most frequent first.

    With `by` those of each key together; a style is the main one that the image had.
    """
    key, count = wanted.key_of(ErrorDay), _sum(ErrorDay.bounces).label("bounces")
    query = sa.select(key, ErrorDay.stage, ErrorDay.code, count).where(*wanted.of(ErrorDay))
    by = [] if wanted.by is None else [key]
    found: Counter[tuple[str, Stage, str]] = Counter()
    every: Counter[str] = Counter()
    for row in conn.execute(query.group_by(*by, ErrorDay.stage, ErrorDay.code)):
        told = wanted.told(row.key) or ""
        found[told, row.stage, row.code] += row.bounces
        every[told] += row.bounces
    rows = sorted(found.items(), key=lambda one: (one[0][0], -one[1], one[0][1], one[0][2]))
    return [
        wanted.keyed(
            {"stage": stage, "code": code, "bounces": bounces, "share": _share(bounces, every[told])},
            told if wanted.by else None,
        )
        for (told, stage, code), bounces in rows
    ]


def fixes(
    conn: Connection, wanted: Wanted, after: tuple[int, int, int] | None, limit: int
) -> list[dict[str, Any]]:
    """Who corrected whose bounced answers, by fixer, author and stage beyond `after`."""
    place = (FixDay.fixer_id, FixDay.author_id, sa.type_coerce(FixDay.stage, sa.SmallInteger))
    fixer, author = (sa.alias(Worker.__table__, name) for name in ("fixer", "author"))
    conditions = wanted.of(FixDay)
    if wanted.worker_id is not None:
        conditions.append(sa.or_(FixDay.fixer_id == wanted.worker_id, FixDay.author_id == wanted.worker_id))
    if wanted.group_id is not None:
        of_group = (FixDay.fixer_group_id, FixDay.author_group_id)
        conditions.append(sa.or_(*(column == wanted.group_id for column in of_group)))
    if after is not None:
        conditions.append(sa.tuple_(*place) > sa.tuple_(*(sa.literal(part) for part in after)))
    query = (
        sa.select(
            FixDay.fixer_id,
            FixDay.author_id,
            FixDay.stage,
            fixer.c.username.label("fixer"),
            author.c.username.label("author"),
            _sum(FixDay.fixed).label("fixed"),
            _sum(FixDay.changed).label("changed"),
        )
        .join(fixer, fixer.c.id == FixDay.fixer_id)
        .join(author, author.c.id == FixDay.author_id)
        .where(*conditions)
        .group_by(FixDay.fixer_id, FixDay.author_id, FixDay.stage, fixer.c.username, author.c.username)
        .order_by(*place)
        .limit(limit)
    )
    return [dict(row._mapping) for row in conn.execute(query)]


def agreements(conn: Connection, wanted: Wanted) -> list[Item]:
    """How far people agree on each question, with and without knowing the other's answer.

    Whole weeks count, from that of `since` to that of `until`. `alpha` is ordinal for scores, with MASI's
    distance for styles, nominal for attributes; `kappa` quadratic for scores. Segmentation has `iou` alone.
    Of one style (or by style): whether both name it or not. Of a person or group: their values against
    those of whomever they met, so that within a group each pair counts from both sides.
    """
    items = [
        wanted.keyed(_agreement(stage, basis, name, cells), key)
        for (key, stage, basis, name), cells in _by_style(_cells(conn, wanted), wanted).items()
    ]
    return items + _overlaps(conn, wanted)


_Question: TypeAlias = tuple[str | None, Stage, Basis, str]


def _cells(conn: Connection, wanted: Wanted) -> dict[_Question, Cells]:
    """The first person's value against the second's, for each question; of one person: theirs first."""
    of_supplier = wanted.supplier_id is not None or wanted.by is By.SUPPLIER
    table: Any = SupplierAgreementWeek if of_supplier else AgreementWeek
    conditions = wanted.of(table)
    if wanted.by is By.WORKER:
        conditions.append(AgreementWeek.worker_id != 0)
    elif not of_supplier and wanted.worker_id is wanted.group_id is None and wanted.by not in _OF_PEOPLE:
        conditions.append(AgreementWeek.earlier == sa.true())
    if wanted.style is not None or wanted.by is By.STYLE:
        conditions.append(table.variable == comparing.STYLES)
    key, keys = wanted.key_of(table), (table.stage, table.basis, table.variable)
    weight = _sum(table.weight).label("weight")
    query = sa.select(key, *keys, table.a, table.b, weight).where(*conditions)
    # A style is no column here, so that nothing is told apart by it before the cells are read.
    by = [] if wanted.by in (None, By.STYLE) else [key]
    query = query.group_by(*by, *keys, table.a, table.b).order_by(*by, *keys)
    found: dict[_Question, Cells] = defaultdict(dict)
    for row in conn.execute(query):
        if row.weight:
            told = wanted.told(row.key) if by else None
            found[told, row.stage, row.basis, row.variable][row.a, row.b] = row.weight / UNIT
    return found


def _by_style(found: dict[_Question, Cells], wanted: Wanted) -> dict[_Question, Cells]:
    """Sets of styles as whether they hold one style, where that is asked for."""
    if wanted.style is None and wanted.by is not By.STYLE:
        return found
    told: dict[_Question, Cells] = {}
    for (key, stage, basis, variable), cells in found.items():
        named = sorted({style for pair in cells for text in pair for style in text.split("|")})
        for style in named if wanted.style is None else [wanted.style]:
            has: Cells = defaultdict(float)
            for (a, b), weight in cells.items():
                has[_names(style, a), _names(style, b)] += weight
            of = style if wanted.by is By.STYLE else key
            told[of, stage, basis, f"{variable}:{style}"] = has
    return told


def _names(style: str, text: str) -> str:
    return "named" if style in text.split("|") else "not"


def _cells_by_worker(
    conn: Connection, wanted: Wanted, worker_ids: Sequence[int]
) -> dict[int, dict[tuple[float, float], float]]:
    weight = _sum(AgreementWeek.weight).label("weight")
    query = sa.select(AgreementWeek.worker_id, AgreementWeek.a, AgreementWeek.b, weight).where(
        AgreementWeek.worker_id.in_(worker_ids),
        AgreementWeek.stage == Stage.SECOND_REVIEW,
        *Wanted(wanted.since, wanted.until).of(AgreementWeek),
    )
    query = query.group_by(AgreementWeek.worker_id, AgreementWeek.a, AgreementWeek.b)
    found: dict[int, dict[tuple[float, float], float]] = defaultdict(dict)
    for row in conn.execute(query):
        found[row.worker_id][int(row.a), int(row.b)] = row.weight / UNIT
    return found


def _agreement(stage: Stage, basis: Basis, variable: str, cells: dict[tuple[str, str], float]) -> Item:
    both: Counter[tuple[str, str]] = Counter()
    for (a, b), weight in cells.items():
        both[a, b] += weight  # type: ignore[assignment]  # counts in parts
        both[b, a] += weight  # type: ignore[assignment]
    if variable == comparing.SCORE:
        scores = {(int(a), int(b)): weight for (a, b), weight in cells.items()}
        met = {(int(a), int(b)): float(weight) for (a, b), weight in both.items()}
        kappa = agreement.kappa(scores, agreement.quadratic)
        alpha = agreement.alpha(met, agreement.ordinal(met))
    elif variable == comparing.STYLES:
        sets = {(_set(a), _set(b)): float(weight) for (a, b), weight in both.items()}
        kappa, alpha = agreement.kappa(cells), agreement.alpha(sets, agreement.masi)
    else:
        kappa, alpha = agreement.kappa(cells), agreement.alpha(both)
    return {
        "stage": stage,
        "basis": basis,
        "variable": variable,
        "pairs": sum(cells.values()),
        "equal": agreement.share_equal(cells),
        "kappa": kappa,
        "ac1": agreement.ac1(cells),
        "alpha": alpha,
        "iou": None,
    }


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


def _overlaps(conn: Connection, wanted: Wanted) -> list[Item]:
    """Segmentation: the mean IoU of regions, where two people drew the same image."""
    of_style = wanted.style is not None or wanted.by is By.STYLE
    if wanted.stage not in (None, Stage.SEGMENTATION) or of_style:
        return []
    of_supplier = wanted.supplier_id is not None or wanted.by is By.SUPPLIER
    table: Any = SupplierDay if of_supplier else WorkDay
    names = ("compared", "likeness", "revised", "kept")
    columns = [_sum(table.__table__.columns[name]).label(name) for name in names]
    key = wanted.key_of(table)
    only = (*wanted.of(table), table.stage == Stage.SEGMENTATION)
    query = sa.select(key, *columns).where(*only)
    sums: dict[str | None, Counter[str]] = defaultdict(Counter)
    for row in conn.execute(query if wanted.by is None else query.group_by(key)):
        sums[wanted.told(row.key)].update({name: getattr(row, name) or 0 for name in names})
    return [
        wanted.keyed(item, told)
        for told in sorted(sums, key=lambda one: one or "")
        for item in _overlap(sums[told])
    ]


def _overlap(sums: Mapping[str, int]) -> Iterable[Item]:
    # Of an independent pair both people have a part.
    pairs = {
        Basis.INDEPENDENT: (sums["compared"] / 2, sums["likeness"] / 2),
        Basis.REVISION: (sums["revised"], sums["kept"]),
    }
    empty = dict.fromkeys(("equal", "kappa", "ac1", "alpha"))
    for basis, (count, like) in pairs.items():
        if count:
            yield {
                "stage": Stage.SEGMENTATION,
                "basis": basis,
                "variable": "regions",
                "pairs": float(count),
                **empty,
                "iou": _share(like, count * comparing.PARTS),
            }


def done_between(conn: Connection, stage: Stage, first: date, last: date) -> dict[date, int]:
    """How many answers a stage got on each day from `first` to `last`."""
    query = sa.select(WorkDay.day, _sum(WorkDay.answers)).where(
        WorkDay.stage == stage, WorkDay.day >= first, WorkDay.day <= last
    )
    return {row[0]: row[1] for row in conn.execute(query.group_by(WorkDay.day))}


def _sum(column: Any) -> sa.ColumnElement[int]:
    return sa.cast(sa.func.sum(column), sa.BigInteger)


def _sums(table: Any, key: Any) -> AnySelect:
    return sa.select(key, *_work_sums(table), sa.func.count(table.day.distinct()).label("days"))


def _work_sums(table: Any) -> list[sa.ColumnElement[int]]:
    return [_sum(table.__table__.columns[name]).label(name) for name in _WORK]


def _totals(
    conn: Connection, table: Any, key: Any, ids: Sequence[int], names: Sequence[str], wanted: Wanted
) -> dict[int, Counter[str]]:
    columns = [_sum(table.__table__.columns[name]).label(name) for name in names]
    query = sa.select(key.label("of"), *columns, sa.func.count(table.day.distinct()).label("days"))
    rows = conn.execute(query.where(key.in_(ids), *wanted.of(table)).group_by(key))
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row.of] = Counter({name: getattr(row, name) for name in (*names, "days")})
    return found


def _rates(row: AnyRow) -> Item:
    return _rates_of({name: getattr(row, name) for name in (*_WORK, "days")})


def _rates_of(sums: Mapping[str, int]) -> Item:
    """Counts and what they come to; a rate is null where there is nothing to divide by."""
    hours = sums["milliseconds"] / 3_600_000
    return {
        "answers": sums["answers"],
        "days": sums["days"],
        "per_day": _share(sums["answers"], sums["days"]),
        "per_hour": _share(sums["timed"], hours),
        "seconds": _share(sums["milliseconds"] / 1000, sums["timed"]),
        "bounced": sums["bounced"],
        "error_rate": _share(sums["bounced"], sums["answers"]),
        "sent_back": sums["sent_back"],
        "unusable": sums["unusable"],
        "passed": sums["passed"],
        "rejected": sums["rejected"],
        "missed": sums["missed"],
        "fixed": sums["fixed"],
        "compared": sums["compared"],
        "agreement": _share(sums["likeness"] / comparing.PARTS, sums["compared"]),
        "revised": sums["revised"],
        "kept": _share(sums["kept"] / comparing.PARTS, sums["revised"]),
    }


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _iso(week: date) -> str:
    year, number, _ = (week + timedelta(days=3)).isocalendar()
    return f"{year}-W{number:02}"
