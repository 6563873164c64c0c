"""Faces are made unrecognisable in what people see; what shows them is looked at with a reason only."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from crowd.cli import main
from crowd.images import faces, service
from crowd.images.checks import Measures, check
from crowd.images.decode import DecodeLimits, Derived, derive
from crowd.images.derivatives import _write_faceless
from crowd.images.files import files_of
from crowd.images.queries import image_file
from crowd.images.signals import read_signals
from crowd.policy import Action, Grade, load_policy
from crowd.runtime import Runtime
from crowd.simulation.samples import sample_photographs
from tests.kinds import Bearer, Client, Headers, MakeWorker
from tests.pictures import jpeg

pytestmark = pytest.mark.skipif(not faces.can_search(), reason="OpenCV is not installed")

PHOTOGRAPHS = dict(sample_photographs())
SHOW_SOMEBODY = [name for name in ("astronaut.png", "grace_hopper.jpg") if name in PHOTOGRAPHS]


def derived_from(data: bytes, folder: "pytest.TempPathFactory", cover: str) -> tuple[Derived, Image.Image]:
    place = folder.mktemp("faces")
    (place / "source").write_bytes(data)
    limits = DecodeLimits(faces=cover, memory_bytes=3 << 29)
    derived = derive(place / "source", place / "w.jpg", place / "t.jpg", limits)
    return derived, Image.open(place / "w.jpg").convert("RGB")


@pytest.mark.parametrize("cover", ["mosaic", "crop"])
@pytest.mark.parametrize("name", SHOW_SOMEBODY)
def test_no_working_image_shows_a_face_that_the_detector_finds(
    name: str, cover: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    original = Image.open(io.BytesIO(PHOTOGRAPHS[name])).convert("RGB")
    assert faces.find_faces(original), "else this test shows nothing"
    derived, working = derived_from(PHOTOGRAPHS[name], tmp_path_factory, cover)
    assert derived.faces
    assert faces.find_faces(working) == []


def compressed(picture: Image.Image, quality: int = 90) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(out)


@pytest.mark.parametrize("how", [faces.mosaicked, faces.cropped_below])
@pytest.mark.parametrize("name", SHOW_SOMEBODY)
def test_a_picture_is_searched_as_those_see_it_who_get_it(
    name: str, how: Callable[[Image.Image, faces.Shown], faces.Covered]
) -> None:
    asked: list[Image.Image] = []

    def shown(picture: Image.Image) -> Image.Image:
        asked.append(picture)
        return compressed(picture, quality=30)

    covered = how(Image.open(io.BytesIO(PHOTOGRAPHS[name])).convert("RGB"), shown)
    assert covered.boxes
    assert covered.left == 0
    assert asked[-1] is covered.picture, "else its file is that of another picture"
    assert faces.find_faces(compressed(covered.picture, quality=30)) == []


BOX = (40, 40, 90, 100)


def noise() -> Image.Image:
    return Image.effect_noise((200, 200), 60).convert("RGB")


def test_what_is_found_in_coarse_blocks_too_becomes_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    def sees_anything_that_is_not_flat(picture: Image.Image) -> list[faces.Box]:
        return [] if len(picture.crop(BOX).getcolors() or []) == 1 else [BOX]

    monkeypatch.setattr(faces, "find_faces", sees_anything_that_is_not_flat)
    covered = faces.mosaicked(noise())
    assert covered.left == 0
    assert covered.picture.crop(BOX).getcolors() == [(50 * 60, covered.picture.getpixel((50, 50)))]


def test_a_face_that_stays_in_sight_holds_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "find_faces", lambda _: [BOX])
    monkeypatch.setattr(faces, "can_search", lambda: True)
    out, findings = io.BytesIO(), list[dict[str, str]]()
    _write_faceless(noise(), out, "mosaic", 90, findings)
    measures = Measures(200, 200, None, read_signals(noise()).as_json(), 1, tuple(findings))
    found = check(measures, load_policy().intake)
    assert {"face_left": Action.HOLD}.items() <= {each.code: each.action for each in found}.items()


def test_only_the_face_is_changed(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not SHOW_SOMEBODY:
        pytest.skip("no sample photographs are installed")
    _, plain = derived_from(PHOTOGRAPHS["astronaut.png"], tmp_path_factory, "none")
    _, covered = derived_from(PHOTOGRAPHS["astronaut.png"], tmp_path_factory, "mosaic")
    below = (0, 260, 512, 512)
    apart = zip(plain.crop(below).tobytes(), covered.crop(below).tobytes(), strict=True)
    assert max(abs(a - b) for a, b in apart) <= 24


def test_a_picture_without_a_face_stays_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = io.BytesIO()
    Image.effect_noise((300, 300), 40).convert("RGB").save(out, "PNG")
    derived, _ = derived_from(out.getvalue(), tmp_path_factory, "mosaic")
    assert derived.faces == 0


def test_an_original_with_a_face_is_shown_for_a_reason_that_is_kept(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    if not SHOW_SOMEBODY:
        pytest.skip("no sample photographs are installed")
    _, token = make_worker(Grade.ADMIN)
    form = {
        "supplier": "Shop",
        "rights": "owned",
        "file": (io.BytesIO(PHOTOGRAPHS["astronaut.png"]), "a.png"),
    }
    taken = client.post("/api/v1/images", data=form, headers=bearer(token)).json
    assert "face" in {each["code"] for each in taken["findings"]}
    path = f"/api/v1/images/{taken['id']}/original"
    refused = client.get(path, headers=bearer(token))
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["reason"])
    shown = client.get(f"{path}?reason=a+complaint", headers=bearer(token))
    assert shown.data == PHOTOGRAPHS["astronaut.png"]
    history = client.get(f"/api/v1/images/{taken['id']}", headers=bearer(token)).json["history"]
    assert [each["why"] for each in history if each["what"] == "original_viewed"] == [
        {"reason": "a complaint"}
    ]
    with rt.db.read() as conn:
        image = image_file(conn, taken["id"])
    assert image is not None
    with rt.storage.opened(files_of(image.sha256).working) as working:
        assert faces.find_faces(Image.open(working).convert("RGB")) == []


def upload(client: Client, admin: Headers, data: bytes, name: str) -> Any:
    form = {"supplier": "Shop", "rights": "owned", "file": (io.BytesIO(data), name)}
    return client.post("/api/v1/images", data=form, headers=admin).json


def test_what_nobody_could_search_is_held_and_searched_once_somebody_can(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not SHOW_SOMEBODY:
        pytest.skip("no sample photographs are installed")
    admin, labeller = bearer(make_worker(Grade.ADMIN)[1]), bearer(make_worker(Grade.GENERAL)[1])
    service.close_decoders()
    with monkeypatch.context() as patch:
        # The decoding child searches no picture, as without OpenCV.
        limits = replace(service.decode_limits(rt.policy), faces="none")
        patch.setattr(service, "decode_limits", lambda _: limits)
        patch.setattr(faces, "can_search", lambda: False)
        shown = upload(client, admin, PHOTOGRAPHS["astronaut.png"], "a.png")
        plain = upload(client, admin, jpeg(1), "b.jpg")
        told = CliRunner().invoke(main, ["faces"], env=environment(rt))
        service.close_decoders()
    assert (told.exit_code, "Install the extra" in told.stderr) == (2, True)
    assert [each["state"] for each in (shown, plain)] == ["held", "held"]
    assert "faces_unchecked" in {each["code"] for each in shown["findings"]}
    assert client.post("/api/v1/tasks/claim", json={}, headers=labeller).status_code == 204
    told = CliRunner().invoke(main, ["faces"], env=environment(rt))
    assert told.stdout.splitlines()[-1] == "2 searched, 1 with faces, which are covered, 2 let in"
    again = CliRunner().invoke(main, ["faces"], env=environment(rt))
    assert again.stdout.splitlines()[-1].startswith("0 searched")
    for image_id in (shown["id"], plain["id"]):
        assert client.get(f"/api/v1/images/{image_id}", headers=admin).json["state"] == "in_work"
    working = client.get(f"/api/v1/images/{shown['id']}/file", headers=admin).data
    assert faces.find_faces(Image.open(io.BytesIO(working)).convert("RGB")) == []
    assert client.post("/api/v1/tasks/claim", json={}, headers=labeller).status_code == 200


def environment(rt: Runtime) -> dict[str, str]:
    places = {"CROWD_DATA_DIR": str(rt.settings.data_dir), "DATABASE_URL": rt.settings.database_url}
    return {**os.environ, **places, "REDIS_URL": "unix:///nowhere"}
