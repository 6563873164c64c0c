"""One drill from beginning to end: a system, a crew at work, faults, the way back to calm, and the audit."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from rich.table import Table

from crowd.accounts import service as accounts
from crowd.core.db import Database
from crowd.images.models import Image, ImageState
from crowd.policy import Grade
from crowd.runtime import Runtime
from crowd.tiers import service as tiers
from tests.faults.audit import Breach, Finding, audit, audit_figures, read_facts, unfinished
from tests.faults.bots import Bot, Crew, Person, Quirk, settle
from tests.faults.injuries import EMBEDDED, IN_PRODUCTION, Injury, Scene
from tests.faults.ledger import ANSWERS, Act, Ledger
from tests.faults.supply import (
    Admin,
    audit_supply,
    await_background,
    import_pictures,
    let_holds_run_out,
    write_pictures,
)
from tests.faults.system import Embedded, Production, until

GRADES = {Grade.GENERAL: 40, Grade.SEMI_EXPERT: 10, Grade.REVIEWER: 15, Grade.EXPERT: 17, Grade.INSPECTOR: 18}
QUIRKS = {
    Quirk.STEADY: 55,
    Quirk.GRID: 0,
    Quirk.VANISHING: 12,
    Quirk.DOUBLE: 14,
    Quirk.WRONG_CLOCK: 10,
    Quirk.GARBAGE: 9,
}
GRID_SHARE = 0.4
DRAIN_SECONDS = 240.0
BACKGROUND_SECONDS = 120.0
WARM_UP_SECONDS = 3.0
QUIET = "no fault"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a drill goes.

    `faults`: what is done in which order, by name; `pause`: seconds between two; `seconds`: the faults go
    round again until so many are over; `think`: seconds that a bot takes for a task on average; `images`:
    how many are there at the start; `upload_every`: seconds between two more; `lease`: seconds.
    """

    seed: int = 1
    bots: int = 100
    faults: Sequence[str] = ()
    pause: float = 1.0
    away: float = 0.5
    seconds: float = 0.0
    think: float = 1.5
    images: int = 40
    upload_every: float = 1.0
    lease: int = 5


@dataclass(frozen=True, slots=True)
class Window:
    """The time from one fault to the next (epoch seconds); `done`: it could be done."""

    fault: str
    since: float
    done: bool = True


@dataclass
class Report:
    """What a drill came to."""

    plan: Plan
    system: str
    ledger: Ledger
    windows: list[Window] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    images: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    drain_seconds: float = 0.0
    audits: int = 0

    @property
    def injected(self) -> Counter[str]:
        """How often each fault was done."""
        return Counter(window.fault for window in self.windows if window.done)

    def fault_at(self, moment: float) -> str:
        """The last fault before a moment."""
        before = [window.fault for window in self.windows if window.since <= moment]
        return before[-1] if before else QUIET


Say = Callable[[str], None]


def run_drill(plan: Plan, system: Production | Embedded, say: Say = lambda line: None) -> Report:
    """The whole drill on a running system. To be called where the system was started."""
    ledger = Ledger()
    report = Report(plan, type(system).__name__, ledger)
    with system.runtime() as rt:
        people = hire(rt, plan.bots)
        admin_person = _join(rt, "admin", Grade.ADMIN)
        admin = Admin(admin_person, system.port, ledger, plan.seed)
        scene = Scene(system, rt.db, admin, random.Random(plan.seed), plan.away, system.folder / "pictures")
        _first_images(scene, plan)
        crew = Crew(system.port, ledger, plan.think)
        start = time.time()
        with _at_work(plan, crew, people, admin):
            _break_things(plan, scene, report, rt, say)
            report.windows.append(Window(QUIET, time.time()))
            crew.calm.set()
            _drain(scene, rt.db, report, say)
        settle(crew, [*people, admin_person])
        _finish_background(rt, report)
        now = time.time()
        facts = read_facts(rt.db)
        report.findings += audit(ledger, facts, rt.policy, now, settled=True)
        report.findings += audit_figures(rt.db, now)
        report.findings += audit_supply(ledger, rt, scene.imported, admin, now)
        report.findings += [
            Finding(Breach.ORPHANED, now, f"image {image_id} was never finished")
            for image_id in unfinished(facts)
        ]
        report.audits += 1
        report.images = Counter(str(row.state) for row in facts.images if row.duplicate_of is None)
        report.seconds = now - start
    return report


def hire(rt: Runtime, count: int) -> list[Person]:
    """So many people, of every grade that works."""
    shares = [grade for grade, share in GRADES.items() for _ in range(share)]
    step = len(shares) / count
    return [_join(rt, f"bot-{number}", shares[int(number * step) % len(shares)]) for number in range(count)]


def fault_table(report: Report) -> Table:
    """What happened under each fault, as a table for people."""
    ledger = report.ledger
    title = f"{report.system}: {report.plan.bots} bots, {report.seconds:.0f} s, seed {report.plan.seed}"
    table = Table("fault", title=title, title_justify="left")
    columns = ("injected", "requests", "acknowledged", "retried", *map(str, Breach))
    for column in columns:
        table.add_column(column, justify="right")
    rows: dict[str, Counter[str]] = {window.fault: Counter() for window in report.windows}
    rows = {name: Counter(injected=count) for name, count in report.injected.items()} | {
        QUIET: Counter(),
        **{name: row for name, row in rows.items() if name not in report.injected},
    }
    for request in ledger.requests:
        row = rows.setdefault(report.fault_at(request.sent), Counter())
        row["requests"] += 1
        row["retried"] += request.again
    told = set()
    for entry in ledger.of(*ANSWERS, Act.UPLOAD, Act.ORDER):
        key = entry.act in ANSWERS, entry.task_id, entry.token
        if entry.acknowledged and key not in told:
            told.add(key)
            rows.setdefault(report.fault_at(entry.got), Counter())["acknowledged"] += 1
    for finding in report.findings:
        rows.setdefault(report.fault_at(finding.at), Counter())[str(finding.breach)] += 1
    total: Counter[str] = Counter()
    for name, row in rows.items():
        row["injected"] = 0 if name == QUIET else report.injected[name]
        table.add_row(name, *(str(row[column]) for column in columns))
        total.update(row)
    table.add_section()
    table.add_row("all", *(str(total[column]) for column in columns), style="bold")
    return table


def _join(rt: Runtime, name: str, grade: Grade) -> Person:
    with rt.db.begin() as conn:
        joined = tiers.join(conn, name, grade, by=None)
        _, token = accounts.issue_token(conn, joined.id)
    return Person(joined.id, grade, token)


def _first_images(scene: Scene, plan: Plan) -> None:
    folder = scene.pictures / "first"
    names = write_pictures(folder, plan.images, "first")
    assert import_pictures(scene.system, folder), "the first import failed; see the system's log"
    scene.imported += names
    assert await_background(scene.database, BACKGROUND_SECONDS), "no job worker makes working images"


@contextmanager
def _at_work(plan: Plan, crew: Crew, people: Sequence[Person], admin: Admin) -> Iterator[None]:
    """Every bot in a thread of its own for the time of the block, and an admin who hands in images."""
    dice = random.Random(plan.seed)
    bots = [Bot(person, _quirk(person, dice), crew, plan.seed) for person in people]
    broken: list[BaseException] = []

    def guard(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised where the drill is
            broken.append(error)

    jobs = [bot.work for bot in bots] + [lambda: admin.keep_uploading(plan.upload_every, crew.calm)]
    threads = [threading.Thread(target=guard, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        crew.calm.set()
        admin.over.set()
        crew.over.set()
        for thread in threads:
            thread.join(60)
    admin.over.clear()
    if broken:
        raise broken[0]


def _quirk(person: Person, dice: random.Random) -> Quirk:
    if person.grade is Grade.INSPECTOR and dice.random() < GRID_SHARE:
        return Quirk.GRID
    return dice.choices(list(QUIRKS), list(QUIRKS.values()))[0]


def _break_things(plan: Plan, scene: Scene, report: Report, rt: Runtime, say: Say) -> None:
    injuries = EMBEDDED if isinstance(scene.system, Embedded) else IN_PRODUCTION
    # Until everybody has something to lose.
    time.sleep(WARM_UP_SECONDS)
    end = time.monotonic() + plan.seconds
    for number, name in enumerate(_order(plan, injuries)):
        if time.monotonic() > end and number >= len(plan.faults or injuries):
            return
        since = time.time()
        report.windows.append(Window(name, since))
        report.windows[-1] = Window(name, since, injuries[name](scene))
        say(f"{name}: {'done' if report.windows[-1].done else 'could not be done'}")
        time.sleep(plan.pause)
        if number % 10 == 9:
            _look_in(report, rt)


def _order(plan: Plan, injuries: Mapping[str, Injury]) -> Iterator[str]:
    """The faults as they are named, then in ever new order."""
    names = [name for name in plan.faults or injuries if name in injuries]
    yield from names
    dice = random.Random(plan.seed + 1)
    for _ in itertools.count():
        dice.shuffle(names)
        yield from names


def _look_in(report: Report, rt: Runtime) -> None:
    """An audit while everybody works: a snapshot has to fit at any moment."""
    ledger = report.ledger.copy()
    facts = read_facts(rt.db)
    report.findings += audit(ledger, facts, rt.policy, time.time(), settled=False)
    report.findings += audit_figures(rt.db, time.time())
    report.audits += 1


def _drain(scene: Scene, database: Database, report: Report, say: Say) -> None:
    """The faults are over: the crew finishes every image."""
    started = time.monotonic()
    scene.system.heal()
    let_holds_run_out(database)
    in_work = sa.select(sa.func.count()).select_from(Image).where(Image.state == ImageState.IN_WORK)

    def finished() -> bool:
        scene.admin.reopen_stuck()
        with database.read() as conn:
            left = conn.execute(in_work).scalar_one()
        say(f"{left} images are in work")
        return left == 0 and scene.admin.has_uploaded.is_set()

    until(finished, DRAIN_SECONDS, pause=0.5)
    report.drain_seconds = time.monotonic() - started


def _finish_background(rt: Runtime, report: Report) -> None:
    let_holds_run_out(rt.db)
    if not await_background(rt.db, BACKGROUND_SECONDS):
        report.findings.append(
            Finding(Breach.ORPHANED, time.time(), "images or exports wait for job workers that never come")
        )
