"""The same photograph arrives twice in one instant."""

import io
from functools import partial

import sqlalchemy as sa
from PIL import Image as Picture

from crowd.images import service
from crowd.images.models import Image, ImageState, Rights
from crowd.images.service import Delivery
from tests.races.conftest import Crowd
from tests.races.contest import together


def test_two_uploads_of_the_same_bytes_give_one_image_and_one_duplicate(crowd: Crowd) -> None:
    one, other = crowd.engines(2)
    for seed in range(20):
        data, shop = _photograph(seed), f"shop {seed}"
        results = together(
            partial(service.take_upload, one.rt, data, Delivery(shop, "a.jpg", Rights.OWNED), None),
            partial(
                service.take_upload, other.rt, data, Delivery(f"shop {seed}", "b.jpg", Rights.OWNED), None
            ),
            seed=seed,
        )
        taken = [each for each in results if isinstance(each, service.Intake)]
        first, second = sorted(taken, key=lambda each: each.state)
        assert (first.state, second.state) == (ImageState.IN_WORK, ImageState.REFUSED)
        assert [found.code for found in second.findings] == ["duplicate"]
        with crowd.engine.db.read() as conn:
            of = sa.select(Image.duplicate_of).where(Image.id == second.image_id)
            assert conn.execute(of).scalar_one() == first.image_id
        assert len(crowd.engine.tasks_of(first.image_id)) == 1
        assert crowd.engine.tasks_of(second.image_id) == []


def _photograph(seed: int) -> bytes:
    file = io.BytesIO()
    Picture.effect_noise((160, 240), 20 + seed).convert("RGB").save(file, "JPEG")
    return file.getvalue()
