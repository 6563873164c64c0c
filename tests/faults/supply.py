"""What an admin does during a drill: hands in images, orders exports, reopens what is stuck."""

import io
import itertools
import random
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image as Picture

from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.datasets.formats import FORMATS
from crowd.datasets.models import Export, ExportState
from crowd.images.files import files_of
from crowd.images.models import Image, ImageState
from crowd.runtime import Runtime
from tests.faults.audit import Breach, Finding
from tests.faults.bots import Person
from tests.faults.ledger import Act, Entry, Ledger
from tests.faults.line import Line, Reply
from tests.faults.system import System, until

SIZE = (120, 160)
# What is imported: so large that a job worker at its working images can be met.
LARGE = (900, 1200)
GRAIN = (12, 16)
BOUNDARY = "a-line-between-parts"
LAYOUTS = ("guideline", "release")
STORY = "drill"


class Admin:
    """One admin's account. Unlike the bots' it is used by the thread that breaks things, or by one more."""

    def __init__(self, person: Person, port: int, ledger: Ledger, seed: int) -> None:
        self.person = person
        self.ledger = ledger
        self.port = port
        self.over = threading.Event()
        self.has_uploaded = threading.Event()
        self.line = Line(port, person.token, ledger, self.over)
        self._rng = random.Random(f"{seed}/admin")
        self._releases = 0

    def upload(self, number: int, line: Line | None = None) -> None:
        """Hand in one image; a broken connection has the same bytes sent again."""
        name = f"upload-{number}.jpg"
        body, headers = _form(name, picture(f"{self._rng.getrandbits(60):x}"))

        def note(reply: Reply) -> None:
            image_id = 0 if reply.status != 201 else reply.json["id"]
            found = reply.json.get("findings") if reply.status == 201 else None
            self.ledger.note(_entry(self.person.id, Act.UPLOAD, reply, image_id, {"findings": found}))

        (line or self.line).insist("POST", "/images", raw=body, headers=headers, note=note)

    def keep_uploading(self, every: float, enough: threading.Event) -> None:
        """An image every so many seconds until there are enough."""
        number, line = 0, self.line.twin()
        while not enough.wait(every):
            number += 1
            self.upload(number, line)
        line.close()
        self.has_uploaded.set()

    def order_exports(self) -> list[int]:
        """Order one export in each format: the acknowledged ones. None while nothing is accepted."""
        self._releases += 1
        name = f"{STORY}-{self._releases}"
        reply = self.line.insist("POST", "/releases", {"name": name})
        if reply.status == 409 and reply.code != "release_exists":
            return []
        release = reply.json["id"] if reply.status == 201 else self._release_named(name)
        ordered = []
        for format_name, layout in itertools.product(FORMATS, LAYOUTS):
            # A second order of the same export would be honoured too.
            reply = self.line.insist(
                "POST", f"/releases/{release}/exports", {"format": format_name, "layout": layout}
            )
            job = reply.json["job"]["id"] if reply.status == 202 else 0
            self.ledger.note(_entry(self.person.id, Act.ORDER, reply, job, {"format": format_name}))
            ordered += [job] if job else []
        return ordered

    def reopen_stuck(self) -> int:
        """Put what is stuck back into the queue; how many images that were."""
        rows = self.line.insist("GET", "/stats/attention?kind=stuck&limit=200").json["items"]
        images = {row["image_id"]: row["stage"] for row in rows}
        for image_id, stage in images.items():
            again = stage if stage != "adjudication" else "first_review"
            body = {"state": "in_work", "stage": again, "reason": "stuck"}
            self.line.insist("POST", f"/images/{image_id}/decide", body)
        return len(images)

    def _release_named(self, name: str) -> int:
        reply = self.line.insist("GET", "/releases?limit=200")
        return int(next(row["id"] for row in reply.json["items"] if row["name"] == name))


def picture(mark: str, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG file of coarse grain that no other mark gets, so that the duplicate check lets it in."""
    out = io.BytesIO()
    grain = Picture.frombytes("RGB", GRAIN, random.Random(mark).randbytes(GRAIN[0] * GRAIN[1] * 3))
    grain.resize(size, Picture.Resampling.NEAREST).save(out, "JPEG")
    return out.getvalue()


def write_pictures(folder: Path, count: int, mark: str, size: tuple[int, int] = SIZE) -> list[str]:
    """A folder of so many pictures; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{mark}-{number}.jpg" for number in range(count)]
    for name in names:
        (folder / name).write_bytes(picture(name, size))
    return names


def import_pictures(system: System, folder: Path) -> bool:
    """Run `crowd import` over a folder, again if it was cut short. Whether it went through in the end."""
    return any(begin_import(system, folder).wait(120) == 0 for _ in range(5))


def begin_import(system: System, folder: Path) -> "subprocess.Popen[bytes]":
    """Start `crowd import` over a folder."""
    arguments = ("import", str(folder), "--supplier", "a shop", "--rights", "owned", "--no-wait")
    return system.command("crowd", *arguments)


def let_holds_run_out(database: Database) -> None:
    """Let the minutes go by for which the work of a dead job worker is left to it."""
    now = clock.now()
    with database.begin() as conn:
        for column in (Image.prepare_after, Export.run_after):
            table = column.class_.__table__
            conn.execute(sa.update(table).where(column > now).values({column.key: now}))


def preparing(database: Database, names: Sequence[str]) -> bool:
    """Whether a job worker has taken some of these images and not finished them."""
    taken = sa.select(Image.id).where(Image.prepare_after > clock.now(), Image.file_name.in_(names)).limit(1)
    with database.read() as conn:
        return conn.execute(taken).first() is not None


def newest_export(database: Database) -> int:
    """The id of the export that was ordered last, 0 before there is one."""
    with database.read() as conn:
        return conn.execute(sa.select(sa.func.max(Export.id))).scalar_one() or 0


def exporting(database: Database, after: int) -> bool:
    """Whether a job worker has taken an export that was ordered after this one, and not finished it."""
    running = sa.select(Export.id).where(Export.state == ExportState.RUNNING, Export.id > after).limit(1)
    with database.read() as conn:
        return conn.execute(running).first() is not None


def await_background(database: Database, seconds: float) -> bool:
    """Whether everything that job workers have to do gets done within the time."""

    def done() -> bool:
        waiting = sa.select(Image.id).where(Image.prepare_after.is_not(None)).limit(1)
        writing = sa.select(Export.id).where(Export.run_after.is_not(None)).limit(1)
        with database.read() as conn:
            return all(conn.execute(each).first() is None for each in (waiting, writing))

    return until(done, seconds, pause=0.2)


def audit_supply(
    ledger: Ledger, rt: Runtime, imported: list[str], admin: Admin, now: float
) -> Iterator[Finding]:
    """Whether every image that was taken is there and prepared, and every export that was ordered is written.

    For when the faults are over and the job workers have had their time.
    """
    with rt.db.read() as conn:
        images = {row.id: row for row in conn.execute(sa.select(Image.__table__))}
        exports = {row.id: row for row in conn.execute(sa.select(Export.__table__))}
    for entry in ledger.of(Act.UPLOAD):
        if not entry.uncertain and not entry.acknowledged:
            yield Finding(Breach.OTHER, entry.got, f"an upload got {entry.status} {entry.code}")
        if entry.acknowledged:
            yield from _audit_image(
                rt, images, images.get(entry.task_id), f"upload {entry.task_id}", entry.got
            )
    by_name = {row.file_name: row for row in images.values()}
    for name in imported:
        yield from _audit_image(rt, images, by_name.get(name), f"imported {name}", now)
    for entry in ledger.of(Act.ORDER):
        if not entry.acknowledged:
            continue
        export = exports.get(entry.task_id)
        if export is None or export.state is not ExportState.DONE:
            state = "gone" if export is None else f"{export.state} {export.error}"
            yield Finding(Breach.LOST, entry.got, f"the export {entry.task_id} is {state}")
            continue
        reply = admin.line.insist("GET", f"/jobs/{entry.task_id}/download")
        if reply.status != 200 or reply.data[:2] != b"PK":
            yield Finding(Breach.LOST, entry.got, f"the download {entry.task_id} got {reply.status}")


def _audit_image(
    rt: Runtime, images: dict[int, AnyRow], image: AnyRow | None, name: str, at: float
) -> Iterator[Finding]:
    if image is None:
        yield Finding(Breach.LOST, at, f"the image of {name} is gone")
        return
    # Sent twice, since the first answer got lost: the first of the two is the image.
    first = images[image.duplicate_of] if image.duplicate_of else image
    if first.width is None and first.state is not ImageState.REFUSED:
        yield Finding(Breach.ORPHANED, at, f"the image of {name} was never prepared")
    if first.state is ImageState.REFUSED and first.width is None:
        yield Finding(Breach.LOST, at, f"the image of {name} was refused as unreadable")
    files = files_of(first.sha256)
    for key in (files.original, files.working, files.thumbnail):
        if not rt.storage.exists(key):
            yield Finding(Breach.LOST, at, f"a file of {name} is gone: {key.split('/')[0]}")


def _form(name: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    fields = {"supplier": "a shop", "rights": "owned"}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = "".join(parts).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def _entry(who: int, act: Act, reply: Reply, about: int, body: Any) -> Entry:
    return Entry(who, act, reply.sent, reply.got, reply.status, about, body=body, code=reply.code)
