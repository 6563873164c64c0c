"""Faces that were missed are covered, margins cut off: by whom, when, and what everybody is shown then."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image as Picture

from crowd.commands.named_files import named_files
from crowd.core import clock
from crowd.images import pictures
from crowd.images import service as intake
from crowd.images.files import files_of
from crowd.images.models import Image, ImageEvent, Rights, What
from crowd.images.service import Delivery
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import handover, shadows
from crowd.tasks.models import Kind, Purpose
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker

SIZE = (400, 600)
FACE = [160, 40, 80, 100]


def stripes(seed: int = 1) -> bytes:
    """A picture of fine stripes: wherever it is covered, they are gone."""
    row = Picture.new("RGB", (SIZE[0], 1))
    row.putdata([(250, 250 - seed, 250) if x % 4 < 2 else (5, 5, 5 + seed) for x in range(SIZE[0])])
    out = io.BytesIO()
    row.resize(SIZE, Picture.Resampling.NEAREST).save(out, "JPEG", quality=95)
    return out.getvalue()


class House:
    """An image, who draws it, who refines it, over HTTP."""

    def __init__(self, rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
        self.rt, self.client = rt, client
        self.admin = bearer(make_worker(Grade.ADMIN)[1])
        self.drawer = bearer(make_worker(Grade.GENERAL)[1])
        self.other = bearer(make_worker(Grade.GENERAL)[1])
        token = self.post("/refiners", self.admin, {"username": "refiner"}).json["token"]
        self.refiner = bearer(token)

    def image(self, seed: int = 1) -> int:
        delivery = Delivery("Shop", f"{seed}.jpg", Rights.OWNED)
        return intake.take_upload(self.rt, stripes(seed), delivery, None).image_id

    def post(self, path: str, who: Headers, body: dict[str, Any] | None = None) -> Answer:
        return self.client.post(f"/api/v1{path}", json=body or {}, headers=who)

    def get(self, path: str, who: Headers, **headers: str) -> Answer:
        whole = path if path.startswith("/api") else f"/api/v1{path}"
        return self.client.get(whole, headers={**who, **headers})

    def claim(self, who: Headers | None = None) -> Any:
        answer = self.post("/tasks/claim", who or self.drawer)
        assert answer.status_code == 200, answer.text
        return answer.json

    def submit(self, task: Any, result: Any) -> Answer:
        body = {"token": task["lease"]["token"], "result": result}
        return self.post(f"/tasks/{task['id']}/submit", self.drawer, body)

    def cover(self, task: Any, regions: list[list[int]], how: str = "mosaic") -> Answer:
        body = {"token": task["lease"]["token"], "regions": regions, "how": how}
        return self.post(f"/tasks/{task['id']}/cover", self.drawer, body)

    def picture(self, address: str, who: Headers | None = None) -> Picture.Image:
        answer = self.get(address, who or self.drawer)
        assert answer.status_code == 200, answer.text
        return Picture.open(io.BytesIO(answer.data)).convert("L")

    def events(self, image_id: int, what: What) -> list[Any]:
        with self.rt.db.read() as conn:
            found = sa.select(ImageEvent).where(ImageEvent.image_id == image_id, ImageEvent.what == what)
            return list(conn.execute(found))


@pytest.fixture
def house(rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> House:
    return House(rt, client, make_worker, bearer)


def contrast(picture: Picture.Image, box: list[int]) -> int:
    """How far neighbouring pixels in the middle of a box lie apart; the fine stripes make it large."""
    x, y = box[0] + box[2] // 2, box[1] + box[3] // 2
    line = picture.crop((x - 4, y, x + 4, y + 1)).tobytes()
    return max(line) - min(line)


def drawn(y: int = 200) -> dict[str, Any]:
    return {"regions": [{"id": "r1", "part": "top", "rings": [[[50, y], [300, y], [300, y + 200]]]}]}


def test_a_covered_face_is_gone_from_what_everybody_is_shown_and_not_from_the_original(house: House) -> None:
    image_id = house.image()
    task = house.claim()
    before = house.get(task["image"]["url"], house.drawer)
    answer = house.cover(task, [FACE])
    assert answer.status_code == 200, answer.text
    assert answer.json["shift"] == [0, 0]
    assert answer.json["image"]["url"] != task["image"]["url"], "browsers keep the old one for an hour"
    shown = house.picture(answer.json["image"]["url"])
    assert shown.size == SIZE
    assert contrast(shown, FACE) < 60 < contrast(shown, [160, 300, 80, 100])
    small = house.picture(f"/images/{image_id}/thumbnail", house.admin)
    assert small.size == (171, 256)
    again = house.get(f"/images/{image_id}/file", house.drawer, **{"If-None-Match": before.headers["ETag"]})
    assert again.status_code == 200, "the old tag is not that of the new picture"
    original = house.get(f"/images/{image_id}/original?reason=look", house.admin)
    assert original.data == stripes()


def test_who_covered_what_and_where_is_a_row_of_the_images_history(house: House) -> None:
    image_id = house.image()
    task = house.claim()
    house.cover(task, [FACE])
    (event,) = house.events(image_id, What.COVERED)
    assert (event.stage, event.task_id, event.worker_id is not None) == (Stage.SEGMENTATION, task["id"], True)
    assert event.why["regions"] == [FACE]
    with house.rt.db.read() as conn:
        image = conn.execute(sa.select(Image).where(Image.id == image_id)).one()
    assert (image.faces or 0) >= 1
    assert event.why["picture"] == image.picture.hex()
    assert files_of(image.sha256, image.picture).working in set(named_files(house.rt.db))


def test_the_task_goes_on_with_the_covered_picture(house: House) -> None:
    house.image()
    task = house.claim()
    url = house.cover(task, [FACE]).json["image"]["url"]
    assert house.get(f"/tasks/{task['id']}", house.drawer).json["image"]["url"] == url
    assert house.submit(task, drawn()).status_code == 200
    assert house.claim(house.other)["image"]["url"] == url


def test_two_faces_one_after_the_other_are_both_covered(house: House) -> None:
    house.image()
    task = house.claim()
    second = [20, 300, 60, 60]
    house.cover(task, [FACE])
    shown = house.picture(house.cover(task, [second]).json["image"]["url"])
    assert contrast(shown, FACE) < 60
    assert contrast(shown, second) < 60


def test_cutting_off_moves_what_was_drawn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.image()
    task = house.claim()
    answer = house.cover(task, [FACE], "crop")
    assert answer.json["shift"] == [0, -140]
    assert (answer.json["image"]["width"], answer.json["image"]["height"]) == (400, 460)
    assert house.picture(answer.json["image"]["url"]).size == (400, 460)
    assert house.submit(task, drawn(300)).status_code == 422, "outlines are held against the new size"
    # What a model drew for the whole picture is not proposed for what is left of it.
    monkeypatch.setattr(handover, "PROPOSERS", [lambda *_: {"model": "m@1", "regions": []}])
    house.post(f"/tasks/{task['id']}/release", house.drawer, {"token": task["lease"]["token"]})
    assert house.claim(house.other)["candidates"] is None


def test_too_little_may_not_be_left_over(house: House) -> None:
    house.image()
    answer = house.cover(house.claim(), [[160, 280, 80, 100]], "crop")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["regions"])


@pytest.mark.parametrize(
    ("regions", "path"),
    [
        ([], "regions"),
        ([[1, 2, 3]], "regions.0"),
        ([[400, 0, 50, 50]], "regions.0"),
        ([FACE, [10, 10, 0, 40]], "regions.1"),
        ([["a", 0, 5, 5]], "regions.0.0"),
        ([[10**9, 0, 5, 5]], "regions.0.0"),
    ],
)
def test_a_rectangle_that_is_none_is_named(house: House, regions: list[Any], path: str) -> None:
    house.image()
    answer = house.cover(house.claim(), regions)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [path])


def test_only_who_holds_the_outlines_covers(house: House) -> None:
    house.image()
    task = house.claim()
    body = {"token": task["lease"]["token"], "regions": [FACE]}
    assert house.post(f"/tasks/{task['id']}/cover", house.other, body).status_code == 403
    assert house.post("/tasks/99999/cover", house.drawer, body).status_code == 404
    house.submit(task, drawn())
    late = house.cover(task, [FACE])
    assert (late.status_code, late.json["code"]) == (409, "lease_lost")
    tagging = house.claim()
    early = house.cover(tagging, [FACE])
    assert (early.status_code, early.json["code"]) == (409, "not_segmentation")


def test_what_has_labels_is_covered_but_not_cut(house: House) -> None:
    image_id = house.image()
    task = house.claim()
    house.submit(task, drawn())
    for path, body in (
        ("crop", {"box": [0, 100, 400, 400]}),
        ("cover", {"regions": [FACE], "how": "crop"}),
    ):
        answer = house.post(f"/images/{image_id}/{path}", house.refiner, body)
        assert (answer.status_code, answer.json["code"]) == (409, "labelled")
    assert house.post(f"/images/{image_id}/cover", house.refiner, {"regions": [FACE]}).status_code == 200


def test_a_refiner_keeps_a_part_of_an_image_and_says_why(house: House) -> None:
    image_id = house.image()
    answer = house.post(
        f"/images/{image_id}/crop", house.refiner, {"box": [40, 100, 300, 450], "reason": "a shop's banner"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json["image"]["width"], answer.json["image"]["height"]) == (300, 450)
    assert answer.json["shift"] == [-40, -100]
    (event,) = house.events(image_id, What.CROPPED)
    assert (event.why["kept"], event.why["reason"]) == ([40, 100, 300, 450], "a shop's banner")
    task = house.claim()
    assert (task["image"]["width"], task["image"]["url"]) == (300, answer.json["image"]["url"])


def test_nothing_is_cut_off_under_the_hands_of_whoever_draws(house: House) -> None:
    image_id = house.image()
    house.claim()
    answer = house.post(f"/images/{image_id}/crop", house.refiner, {"box": [0, 0, 300, 300]})
    assert (answer.status_code, answer.json["code"]) == (409, "at_hand")


def test_labellers_do_not_crop_and_suppliers_do_nothing(house: House, bearer: Bearer) -> None:
    image_id = house.image()
    supplier = house.post("/suppliers", house.admin, {"name": "Shop"}).json["id"]
    token = house.post(f"/suppliers/{supplier}/accounts", house.admin, {"username": "shop"}).json["token"]
    for who in (house.drawer, bearer(token)):
        for path, body in (("crop", {"box": [0, 0, 300, 300]}), ("cover", {"regions": [FACE]})):
            assert house.post(f"/images/{image_id}/{path}", who, body).status_code == 403


def test_of_two_changes_of_one_picture_the_second_looks_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were made of the same picture: the second would bring back what the first has covered."""
    image_id = house.image()
    make, other = pictures.covered, [120, 400, 60, 60]

    def overtaken(rt: Runtime, of: int, regions: Any) -> Any:
        new = make(rt, of, regions)
        if list(regions[0]) == FACE:
            assert (
                house.post(f"/images/{image_id}/cover", house.admin, {"regions": [other]}).status_code == 200
            )
        return new

    monkeypatch.setattr(pictures, "covered", overtaken)
    answer = house.post(f"/images/{image_id}/cover", house.refiner, {"regions": [FACE]})
    assert (answer.status_code, answer.json["code"]) == (409, "changed")
    assert contrast(house.picture(f"/images/{image_id}/file", house.admin), other) < 60


def test_a_refused_image_is_left_alone(house: House) -> None:
    image_id = house.image()
    house.post(f"/images/{image_id}/decide", house.admin, {"state": "refused", "reason": "no"})
    answer = house.post(f"/images/{image_id}/cover", house.refiner, {"regions": [FACE]})
    assert (answer.status_code, answer.json["code"]) == (409, "ended")


def test_outlines_in_a_seat_for_evidence_are_judged_where_they_lie_in_the_whole_picture(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder may cut the picture like any other; the right outlines were drawn before."""
    house.image()
    claimed = house.claim()
    house.cover(claimed, [FACE], "crop")
    heard: list[shadows.Testimony] = []
    monkeypatch.setitem(shadows.WITNESSES, Purpose.GOLD, lambda _, testimony: heard.append(testimony))
    task: Any = SimpleNamespace(
        image_id=claimed["image"]["id"], stage=Stage.SEGMENTATION, purpose=Purpose.GOLD
    )
    with house.rt.db.begin() as conn:
        given = shadows.Testimony(task, 1, Kind.SUBMIT, drawn(60), {}, None, clock.now())
        stands: Any = SimpleNamespace(effect=None)
        shadows.testify(conn, given, stands)
    assert heard[0].result == drawn(200)
