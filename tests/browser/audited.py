"""Something to audit: one that failed, one that waits for a judge who is there and for others who are not."""

import time

import sqlalchemy as sa

from crowd.accounts.models import AccountKind, Worker
from crowd.audits.models import AuditImage
from crowd.core import clock
from crowd.images import queries as images
from crowd.images.models import Image, ImageState, Supplier
from crowd.policy import Grade
from crowd.tasks.models import Part, Participation
from tests.browser.house import House, Json
from tests.scenarios.people import Person

STRICT = {"tolerable_rate": 0.3, "confidence": 0.9, "allowed_wrong": 0, "seed": 3}
MATCH: Json = {"score": 5, "blame": None, "reasons": [], "comment": ""}
STYLE_DIFFERS = {
    "score": 3,
    "blame": "styles",
    "reasons": ["wrong_entry"],
    "comment": "Not resort. 리조트가 아닙니다.",
}


def draw(house: House, **wanted: object) -> int:
    """An audit of what is accepted; its id."""
    drawn = house.bot("admin", "the-admin").post("/audits", {**STRICT, "reason": "before spring", **wanted})
    assert drawn.status_code == 201, drawn.text
    return int(drawn.json["id"])


def fail(house: House, name: str = "judge") -> None:
    """Judge every image that an audit asks somebody about: one is wrong."""
    judge = house.person("expert", name)
    judge.submit(seat_of(judge), STYLE_DIFFERS)
    while seat := _next_seat(judge):
        judge.submit(seat, MATCH)


def seat_of(judge: Person) -> Json:
    """The seat that an audit just drawn has for somebody: each process sees one a moment later."""
    for _ in range(40):
        if seat := _next_seat(judge):
            return seat
        time.sleep(0.1)
    raise AssertionError("no audit asks them")


def _next_seat(judge: Person) -> Json | None:
    asked = judge.ask()
    if asked.status_code != 200:
        return None
    task: Json = asked.json
    if asked.headers.get("Task-Purpose") == "audit":
        return task
    judge.release(task)
    return None


def nobody_may(house: House, audit_id: int) -> None:
    """All who may judge had a part in every image of an audit that nobody looks at yet."""
    with house.rt.db.begin() as conn:
        able = conn.execute(sa.select(Worker.id).where(Worker.grade.in_([Grade.EXPERT, Grade.INSPECTOR])))
        people = able.scalars().all()
        waiting = sa.select(AuditImage.image_id).where(
            AuditImage.audit_id == audit_id, AuditImage.task_id.is_(None)
        )
        parts = [
            {"image_id": image, "worker_id": person, "part": Part.ADJUDICATION, "round": 9}
            for image in conn.execute(waiting).scalars()
            for person in people
        ]
        conn.execute(sa.insert(Participation), parts)


def audit(house: House) -> None:
    """All that the screens of audits show. Wants a furnished house, and releases to be there already."""
    _newest_of_another_supplier(house)
    house.handler(AccountKind.AUDITOR, "auditor")
    draw(house, supplier="Studio")
    fail(house)
    another = house.bot("admin", "the-admin").post("/auditors", {"username": "third"}).json
    said = {"verdict": "rejected", "comment": "The styles do not hold. 스타일을 믿을 수 없습니다."}
    house.app.test_client().post(
        "/api/v1/audits/1/sign", json=said, headers={"Authorization": f"Bearer {another['token']}"}
    )
    waits = draw(house)
    seat_of(house.people["judge"])
    nobody_may(house, waits)


def _newest_of_another_supplier(house: House) -> None:
    newest = sa.select(sa.func.max(Image.id)).where(Image.state == ImageState.ACCEPTED).scalar_subquery()
    with house.rt.db.begin() as conn:
        other = images.named(conn, Supplier, "Atelier", clock.now())
        conn.execute(sa.update(Image).where(Image.id == newest).values(supplier_id=other))
