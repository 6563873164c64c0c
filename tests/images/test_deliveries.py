"""Suppliers hand in, refiners hand over, contracts end: over HTTP, with the engine behind it."""

import csv
import io
import shutil
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.errors import Conflict
from crowd.images import contracts, deliveries
from crowd.images.decode import Decoder, Starved
from crowd.images.delivery_models import Contract
from crowd.images.models import Image, ImageState
from crowd.images.rights import Rights
from crowd.images.service import Delivery, clean_path, prepare, take_upload
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker
from tests.pictures import jpeg


class House:
    """An admin, a labeller, a refiner, and suppliers with logins, over HTTP."""

    def __init__(self, rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
        self.rt, self.client, self._bearer = rt, client, bearer
        self.admin = bearer(make_worker(Grade.ADMIN)[1])
        self.labeller = bearer(make_worker(Grade.GENERAL)[1])
        self.refiner = self._welcome("/refiners", "refiner")
        self.shop, self.rival = self.supplier("Shop"), self.supplier("Rival")

    def supplier(self, name: str) -> Headers:
        added = self.post("/suppliers", self.admin, {"name": name}).json
        return self._welcome(f"/suppliers/{added['id']}/accounts", f"{name}-login")

    def post(self, path: str, who: Headers, body: dict[str, Any] | None = None) -> Answer:
        return self.client.post(f"/api/v1{path}", json=body or {}, headers=who)

    def get(self, path: str, who: Headers) -> Answer:
        return self.client.get(f"/api/v1{path}", headers=who)

    def send(self, delivery: int, name: str, data: bytes, who: Headers | None = None) -> Answer:
        form = {"file": (io.BytesIO(data), name)}
        path = f"/api/v1/deliveries/{delivery}/files"
        return self.client.post(path, data=form, headers=who or self.shop)

    def contract(self, who: Headers | None = None, **fields: Any) -> int:
        form = {"kind": "consent", "file": (io.BytesIO(b"we agree"), "동의서.pdf"), **fields}
        answer = self.client.post("/api/v1/contracts", data=form, headers=who or self.shop)
        assert answer.status_code == 201, answer.json
        return int(answer.json["id"])

    def delivery(self, name: str = "spring", **fields: Any) -> int:
        answer = self.post("/deliveries", self.shop, {"name": name, **fields})
        assert answer.status_code == 201, answer.json
        return int(answer.json["id"])

    def hand_over(self, delivery: int) -> None:
        for step in ("sorted", "refined", "handed_over"):
            answer = self.post(f"/deliveries/{delivery}/steps", self.refiner, {"step": step})
            assert answer.status_code == 200, answer.json
        deliveries.open_all_waiting(self.rt)

    def claim(self) -> Answer:
        return self.post("/tasks/claim", self.labeller)

    def image_state(self, image_id: int) -> ImageState:
        with self.rt.db.read() as conn:
            state: ImageState = conn.execute(sa.select(Image.state).where(Image.id == image_id)).scalar_one()
        return state

    def _welcome(self, path: str, username: str) -> Headers:
        answer = self.post(path, self.admin, {"username": username})
        assert answer.status_code == 201, answer.json
        return self._bearer(answer.json["token"])


@pytest.fixture
def house(rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> House:
    return House(rt, client, make_worker, bearer)


def test_a_delivery_goes_its_four_steps_and_only_then_to_the_labellers(house: House) -> None:
    delivery = house.delivery(contract_id=house.contract(), rights="consent")
    (taken,) = house.send(delivery, "a.jpg", jpeg(1)).json["files"]
    assert (taken["state"], taken["known"]) == ("taken", False)
    assert house.claim().status_code == 204
    assert house.post(f"/deliveries/{delivery}/steps", house.shop, {"step": "sorted"}).status_code == 200
    assert house.post(f"/deliveries/{delivery}/steps", house.shop, {"step": "refined"}).status_code == 403
    skipped = house.post(f"/deliveries/{delivery}/steps", house.refiner, {"step": "handed_over"})
    assert (skipped.status_code, skipped.json["code"]) == (409, "step")
    for step in ("refined", "handed_over"):
        shown = house.post(
            f"/deliveries/{delivery}/steps", house.refiner, {"step": step, "reason": "ok"}
        ).json
    assert [each["step"] for each in shown["steps"]] == ["received", "sorted", "refined", "handed_over"]
    assert deliveries.open_all_waiting(house.rt) == 1
    assert house.claim().json["image"]["id"] == taken["image_id"]
    assert deliveries.open_all_waiting(house.rt) == 0
    assert house.send(delivery, "late.jpg", jpeg(2)).status_code == 409


def test_the_same_file_sent_again_gets_the_same_answer(house: House) -> None:
    delivery = house.delivery(rights="owned")
    first = house.send(delivery, "a.jpg", jpeg(1)).json["files"][0]
    again = house.send(delivery, "a.jpg", jpeg(1)).json["files"][0]
    assert (again["image_id"], again["state"], again["known"]) == (first["image_id"], "taken", True)
    assert house.get(f"/deliveries/{delivery}", house.shop).json["report"]["files"] == 1


def test_a_zip_is_taken_member_by_member_and_told_what_is_wrong_with_each(house: House) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("one.jpg", jpeg(1))
        archive.writestr("two.jpg", jpeg(2))
        archive.writestr("list.txt", "text")
        archive.writestr("broken.jpg", "no picture")
    delivery = house.delivery(rights="owned")
    answer = house.send(delivery, "a.zip", out.getvalue())
    told = {each["file"]: each["state"] for each in answer.json["files"]}
    assert told == {
        "one.jpg": "pending",
        "two.jpg": "pending",
        "broken.jpg": "pending",
        "list.txt": "refused",
    }
    held_up = house.post(f"/deliveries/{delivery}/steps", house.refiner, {"step": "sorted"})
    assert held_up.status_code == 200
    prepare(house.rt)
    report = house.get(f"/deliveries/{delivery}", house.shop).json["report"]
    assert (report["files"], report["taken"], report["refused"], report["pending"]) == (4, 2, 2, 0)
    assert {(each["code"], each["files"]) for each in report["reasons"] if each["action"] == "refuse"} == {
        ("not_an_image", 1),
        ("unreadable", 1),
    }
    rows = house.get(f"/deliveries/{delivery}/report.csv", house.shop).text.splitlines()
    assert len(rows) == 5
    page = house.get(f"/deliveries/{delivery}/report", house.shop)
    assert page.mimetype == "text/html"
    assert "broken.jpg" in page.text


def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless(house: House) -> None:
    delivery = house.delivery(rights="owned")
    house.send(delivery, "=1+1.jpg", jpeg(1))
    assert "'=1+1.jpg" in house.get(f"/deliveries/{delivery}/report.csv", house.shop).text


def test_a_supplier_sees_its_own_and_nothing_else(house: House) -> None:
    contract = house.contract()
    delivery = house.delivery(contract_id=contract, rights="consent")
    image = house.send(delivery, "a.jpg", jpeg(1)).json["files"][0]["image_id"]
    for path in (f"/deliveries/{delivery}", f"/deliveries/{delivery}/images", f"/contracts/{contract}"):
        assert house.get(path, house.shop).status_code == 200
        assert house.get(path, house.rival).status_code == 404
    assert house.send(delivery, "b.jpg", jpeg(2), house.rival).status_code == 404
    foreign = house.post("/deliveries", house.rival, {"name": "x", "contract_id": contract})
    assert foreign.status_code == 404
    for path in (
        "/images",
        f"/images/{image}",
        f"/images/{image}/file",
        f"/images/{image}/original",
        "/workers",
        "/suppliers",
        "/taxonomy",
        "/stats/progress",
        "/me/feedback",
        "/releases",
    ):
        assert house.get(path, house.shop).status_code in (403, 404, 405), path
    assert house.post("/tasks/claim", house.shop).status_code == 403
    me = house.get("/me", house.shop).json
    assert (me["kind"], me["supplier"]["name"], me["stages"]) == ("supplier", "Shop", [])


def test_no_account_of_the_crowd_but_an_admin_deals_with_suppliers(house: House) -> None:
    for path in ("/contracts", "/deliveries", "/suppliers", "/refiners"):
        assert house.get(path, house.labeller).status_code == 403
        assert house.get(path, house.admin).status_code == 200
    assert house.post("/suppliers", house.shop, {"name": "x"}).status_code == 403


def test_the_account_of_a_supplier_never_gets_a_grade(house: House) -> None:
    account = house.get("/me", house.shop).json["id"]
    regraded = house.post(f"/workers/{account}/grade", house.admin, {"grade": "admin", "reason": "x"})
    assert (regraded.status_code, regraded.json["code"]) == (409, "account_kind")


def test_images_without_settled_rights_are_held_until_a_contract_covers_them(house: House) -> None:
    delivery = house.delivery()
    (taken,) = house.send(delivery, "a.jpg", jpeg(1)).json["files"]
    assert (taken["state"], [each["code"] for each in taken["findings"] if each["action"] == "hold"]) == (
        "held",
        ["rights_unknown"],
    )
    house.hand_over(delivery)
    assert house.claim().status_code == 204
    contract = house.contract()
    settled = house.post(f"/deliveries/{delivery}/contract", house.refiner, {"contract_id": contract})
    assert settled.json == {"released": 1}
    assert house.claim().json["image"]["id"] == taken["image_id"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"valid_to": "2020-01-01"}, "rights_expired"),
        ({"valid_from": "2999-01-01"}, "rights_not_yet"),
        ({"allows": ["labelling"]}, "rights_limited"),
    ],
)
def test_a_contract_that_does_not_hold_settles_nothing(
    house: House, fields: dict[str, Any], code: str
) -> None:
    delivery = house.delivery(contract_id=house.contract(**fields), rights="consent")
    (taken,) = house.send(delivery, "a.jpg", jpeg(1)).json["files"]
    assert code in {each["code"] for each in taken["findings"]}
    assert taken["state"] == "held"


def test_a_withdrawn_contract_stops_serving_at_once_and_closes_what_is_open(house: House) -> None:
    contract = house.contract()
    delivery = house.delivery(contract_id=contract, rights="consent")
    image = house.send(delivery, "a.jpg", jpeg(1)).json["files"][0]["image_id"]
    house.hand_over(delivery)
    task = house.claim().json
    assert house.get(f"/images/{image}/file", house.labeller).status_code == 200
    assert house.post(f"/contracts/{contract}/withdraw", house.rival, {"reason": "x"}).status_code == 404
    ended = house.post(f"/contracts/{contract}/withdraw", house.shop, {"reason": "we changed our minds"})
    assert [each["what"] for each in ended.json["events"]] == ["added", "withdrawn"]
    assert house.get(f"/images/{image}/file", house.labeller).status_code == 403
    assert house.get(f"/images/{image}/file", house.admin).status_code == 403
    assert contracts.sweep_ended(house.rt) == 1
    assert house.image_state(image) is ImageState.WITHDRAWN
    late = {"token": task["lease"]["token"], "result": {"unusable": "not_fashion"}}
    answer = house.post(f"/tasks/{task['id']}/submit", house.labeller, late)
    assert (answer.status_code, answer.json["code"]) == (409, "superseded")
    assert house.claim().status_code == 204
    assert contracts.sweep_ended(house.rt) == 0


def test_a_contract_that_runs_out_stops_serving_and_holds_what_came_under_it(house: House) -> None:
    contract = house.contract()
    delivery = house.delivery(contract_id=contract, rights="consent")
    image = house.send(delivery, "a.jpg", jpeg(1)).json["files"][0]["image_id"]
    house.hand_over(delivery)
    yesterday = clock.now().date() - timedelta(days=1)
    with house.rt.db.begin() as conn:
        conn.execute(sa.update(Contract).where(Contract.id == contract).values(valid_to=yesterday))
    assert house.get(f"/images/{image}/file", house.admin).status_code == 403
    assert contracts.sweep_ended(house.rt) == 1
    assert house.image_state(image) is ImageState.HELD
    let_in = {"state": "in_work", "reason": "never mind"}
    refused = house.post(f"/images/{image}/decide", house.admin, let_in)
    assert (refused.status_code, refused.json["code"]) == (409, "rights_expired")
    assert "contract_id" in refused.json["detail"]
    fresh = {**let_in, "contract_id": house.contract()}
    assert house.post(f"/images/{image}/decide", house.admin, fresh).status_code == 200
    assert house.get(f"/images/{image}/file", house.admin).status_code == 200


def test_what_came_before_its_contracts_first_day_is_let_in_on_that_day(house: House) -> None:
    contract = house.contract(valid_from="2999-01-01")
    limited = house.contract(valid_from="2999-01-01", allows=["labelling"])
    images = {}
    for each in (contract, limited):
        delivery = house.delivery(f"under {each}", contract_id=each, rights="consent")
        images[each] = house.send(delivery, "a.jpg", jpeg(each)).json["files"][0]["image_id"]
        house.hand_over(delivery)
    assert deliveries.let_in_begun(house.rt) == 0
    assert house.claim().status_code == 204
    now = clock.now()
    with house.rt.db.begin() as conn:
        days = {"valid_from": now.date(), "created_at": now - timedelta(days=3)}
        conn.execute(sa.update(Contract).values(days))
    assert deliveries.let_in_begun(house.rt) == 1
    assert deliveries.let_in_begun(house.rt) == 0
    assert house.image_state(images[limited]) is ImageState.HELD
    assert house.claim().json["image"]["id"] == images[contract]
    events = house.get(f"/contracts/{contract}", house.shop).json["events"]
    assert [each["what"] for each in events] == ["added", "begun"]


def contract_of(house: House, image: int) -> Any:
    with house.rt.db.read() as conn:
        statement = sa.select(Contract).join(Image, Image.contract_id == Contract.id)
        return conn.execute(statement.where(Image.id == image)).one_or_none()


def test_an_image_of_unknown_rights_that_is_let_in_is_tied_to_a_contract(house: House) -> None:
    delivery = house.delivery()
    images = [house.send(delivery, f"{n}.jpg", jpeg(n)).json["files"][0]["image_id"] for n in (1, 2, 3)]
    assert [contract_of(house, image) for image in images] == [None] * 3
    let_in = {"state": "in_work", "reason": "the shop called"}
    for image in images[:2]:
        assert house.post(f"/images/{image}/decide", house.admin, let_in).status_code == 200
    word = contract_of(house, images[0])
    assert contract_of(house, images[1]).id == word.id
    assert (word.file_key, sorted(word.allows)) == (None, ["labelling", "release"])
    named = {**let_in, "contract_id": house.contract()}
    assert house.post(f"/images/{images[2]}/decide", house.admin, named).status_code == 200
    assert contract_of(house, images[2]).id == named["contract_id"]
    with house.rt.db.read() as conn:
        assert contracts.fault_of(conn, images[0], house.rt.policy, clock.now().date()) is None
    smuggled = house.post("/deliveries", house.shop, {"name": "x", "contract_id": word.id})
    assert (smuggled.status_code, list(smuggled.json["errors"])) == (422, ["contract_id"])
    assert house.post(f"/contracts/{word.id}/withdraw", house.shop, {"reason": "no"}).status_code == 200
    assert contracts.sweep_ended(house.rt) == 2


def test_a_contract_that_does_not_hold_or_is_anothers_lets_nothing_in(house: House) -> None:
    image = house.send(house.delivery(), "a.jpg", jpeg(1)).json["files"][0]["image_id"]
    rivals, over = house.contract(house.rival), house.contract(valid_to="2020-01-01")
    for contract, status in ((rivals, 404), (over, 422), (999, 404)):
        body = {"state": "in_work", "reason": "x", "contract_id": contract}
        assert house.post(f"/images/{image}/decide", house.admin, body).status_code == status
    assert house.image_state(image) is ImageState.HELD


def test_where_proof_is_required_an_admins_word_is_not_enough(house: House) -> None:
    image = house.send(house.delivery(), "a.jpg", jpeg(1)).json["files"][0]["image_id"]
    strict = replace(house.rt.policy, intake=replace(house.rt.policy.intake, proof_required=True))
    with pytest.raises(Conflict, match="contract_id") as refused, house.rt.db.begin() as conn:
        contracts.settle(conn, image, None, strict, clock.now())
    assert refused.value.code == "rights_unknown"


def test_an_upload_by_an_admin_is_tied_to_what_it_declares(house: House) -> None:
    for seed in (1, 2):
        form = {"supplier": "Shop", "rights": "owned", "file": (io.BytesIO(jpeg(seed)), f"{seed}.jpg")}
        assert house.client.post("/api/v1/images", data=form, headers=house.admin).status_code == 201
    with house.rt.db.read() as conn:
        assert len(set(conn.execute(sa.select(Image.contract_id)).scalars())) == 1
        (declared,) = conn.execute(sa.select(Contract.file_key, Contract.title)).all()
    assert declared == (None, "declared: owned")


def test_where_proof_is_required_a_declaration_is_not_enough(house: House) -> None:
    strict = replace(house.rt.policy, intake=replace(house.rt.policy.intake, proof_required=True))
    rt = replace(house.rt, policy=strict)
    taken = take_upload(rt, jpeg(1), Delivery("Shop", "a.jpg", Rights.OWNED), None)
    assert taken.state is ImageState.HELD
    assert "rights_unproven" in {each.code for each in taken.findings}


def test_the_document_of_a_contract_comes_back_as_it_was(house: House) -> None:
    contract = house.contract()
    sent = house.get(f"/contracts/{contract}/file", house.shop)
    assert sent.data == b"we agree"
    assert "attachment" in sent.headers["Content-Disposition"]


@pytest.mark.parametrize("table", ["contract_events", "delivery_steps", "delivery_refusals"])
def test_what_happened_to_contracts_and_deliveries_is_never_changed(house: House, table: str) -> None:
    delivery = house.delivery(contract_id=house.contract())
    assert house.send(delivery, "broken.jpg", b"no picture").status_code == 422
    with house.rt.db.read() as conn:
        assert conn.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    for change in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), house.rt.db.begin() as conn:
            conn.execute(sa.text(change))


def test_a_deliverys_images_are_listed_by_state_and_by_finding_with_pictures_for_some(house: House) -> None:
    delivery = house.delivery(rights="owned")
    doubted = house.delivery("doubtful")
    (taken,) = house.send(delivery, "a.jpg", jpeg(1)).json["files"]
    (held,) = house.send(doubted, "b.jpg", jpeg(2)).json["files"]

    def listed(of: int, query: str, who: Headers) -> list[Any]:
        answer = house.get(f"/deliveries/{of}/images{query}", who)
        assert answer.status_code == 200, answer.json
        return list(answer.json["items"])

    assert [each["id"] for each in listed(delivery, "?state=taken", house.refiner)] == [taken["image_id"]]
    assert listed(delivery, "?state=held", house.refiner) == []
    codes = [each["code"] for each in listed(doubted, "?state=held", house.admin)[0]["findings"]]
    (found,) = listed(doubted, f"?code={codes[0]}", house.admin)
    assert (found["id"], found["state"]) == (held["image_id"], "held")
    assert listed(doubted, "?code=watermarks", house.admin) == []
    assert house.get(f"/deliveries/{doubted}/images?state=lost", house.admin).status_code == 422
    assert house.get(found["url"].removeprefix("/api/v1"), house.refiner).status_code == 200
    assert listed(doubted, "", house.shop)[0]["url"] is None


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def told_files(house: House, delivery: int) -> list[tuple[str, str, str]]:
    """Of each file in a delivery's report: path, state, codes of what refused it."""
    text = house.get(f"/deliveries/{delivery}/report.csv", house.shop).text.removeprefix("\ufeff")
    rows = csv.DictReader(io.StringIO(text))
    return sorted((row["file"], row["state"], row["codes"].split(" ")[0]) for row in rows)


def test_files_of_one_name_in_several_folders_are_all_told_of(house: House) -> None:
    delivery = house.delivery(rights="owned")
    whole = zipped(
        **{
            "look1/01.jpg": jpeg(1),
            "look2/01.jpg": jpeg(1),
            "look3/01.jpg": jpeg(3),
            "look1/01.psd": b"layers",
            "look2/01.psd": b"layers",
        }
    )
    for _ in range(2):
        assert house.send(delivery, "a.zip", whole).status_code == 201
    prepare(house.rt)
    told = told_files(house, delivery)
    assert [(path, state) for path, state, _ in told] == [
        ("look1/01.jpg", "taken"),
        ("look1/01.psd", "refused"),
        ("look2/01.jpg", "refused"),
        ("look2/01.psd", "refused"),
        ("look3/01.jpg", "taken"),
    ]
    assert told[2][2] == "duplicate"
    report = house.get(f"/deliveries/{delivery}", house.shop).json["report"]
    assert (report["files"], report["taken"], report["refused"], report["known"]) == (5, 2, 3, 0)
    (item, *_) = house.get(f"/deliveries/{delivery}/images", house.shop).json["items"]
    assert (item["path"], item["file_name"]) == ("look1/01.jpg", "01.jpg")


def test_a_delivery_tells_of_files_that_an_earlier_one_brought(house: House) -> None:
    first, second = house.delivery("first", rights="owned"), house.delivery("second", rights="owned")
    house.send(first, "a.jpg", jpeg(1))
    assert house.send(second, "a.jpg", jpeg(1)).json["files"][0]["known"]
    assert house.send(second, "a.zip", zipped(**{"a.jpg": jpeg(1), "b.jpg": jpeg(2)})).status_code == 201
    prepare(house.rt)
    report = house.get(f"/deliveries/{second}", house.shop).json["report"]
    assert (report["files"], report["taken"], report["refused"], report["known"]) == (2, 1, 0, 1)
    assert {each["code"] for each in report["reasons"]}.isdisjoint({"known"})
    assert told_files(house, second)[0] == ("a.jpg", "known", "known")
    assert house.get(f"/deliveries/{first}", house.shop).json["report"]["files"] == 1


def test_a_file_that_could_not_be_looked_at_for_the_moment_is_not_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starve(*_: object) -> None:
        raise Starved("no time was left")

    delivery = house.delivery(rights="owned")
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "derive", starve)
        assert house.send(delivery, "a.jpg", jpeg(1)).status_code == 503
    assert house.send(delivery, "a.jpg", jpeg(1)).status_code == 201
    report = house.get(f"/deliveries/{delivery}", house.shop).json["report"]
    assert (report["files"], report["taken"], report["refused"]) == (1, 1, 0)


def kept_originals(house: House) -> int:
    return sum(path.is_file() for path in (house.rt.storage.root / "originals").rglob("*"))


def test_what_is_no_picture_is_not_kept_however_often_it_is_sent(house: House) -> None:
    delivery = house.delivery(rights="owned")
    for _ in range(2):
        house.send(delivery, "a.zip", zipped(**{"a.jpg": jpeg(1), "b.jpg": b"no picture" * 1000}))
        prepare(house.rt)
        assert kept_originals(house) == 1
    report = house.get(f"/deliveries/{delivery}", house.shop).json["report"]
    assert (report["files"], report["taken"], report["refused"]) == (2, 1, 1)


def test_below_the_floor_of_free_disk_nothing_is_taken_in_and_nothing_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = house.delivery(rights="owned")
    least = house.rt.policy.intake.least_free_mb * 1024**2
    usage = shutil.disk_usage(house.rt.storage.root)
    for free, status in ((least - 1, 503), (least, 201)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        for name, data in (("a.jpg", jpeg(1)), ("a.zip", zipped(**{"b.jpg": jpeg(2)}))):
            answer = house.send(delivery, name, data)
            assert answer.status_code == status
            assert (answer.headers.get("Retry-After") is not None) == (status == 503)
    report = house.get(f"/deliveries/{delivery}", house.shop).json["report"]
    assert (report["files"], report["refused"]) == (2, 0)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("./look 1//a.jpg", "look 1/a.jpg"),
        ("..\\..\\etc\\a.jpg", "etc/a.jpg"),
        ("봄/가.jpg", "봄/가.jpg"),
        ("", "unnamed"),
    ],
)
def test_the_path_of_a_file_is_kept_as_text_alone(name: str, kept: str) -> None:
    assert clean_path(name) == kept


def test_paths_too_long_to_be_kept_are_still_told_apart() -> None:
    one, other = (clean_path(f"{first}/{'deep/' * 100}a.jpg") for first in "ab")
    assert len(one) == len(other) == 255
    assert one != other
    assert one.endswith("deep/a.jpg")
