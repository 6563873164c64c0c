"""A data set whose images lie in a bucket."""

from dataclasses import replace
from pathlib import Path

from crowd.core import clock
from crowd.core.config import Settings
from crowd.datasets.exports import Place, write_export
from crowd.datasets.importing import Import, Outcome, Standing, take_labelled
from crowd.datasets.labelled import Labelled, read_kfashion
from crowd.datasets.service import create_release, plan
from crowd.images.decode import Decoder
from crowd.images.rights import Rights
from crowd.images.service import Delivery, decode_limits
from crowd.runtime import build_runtime
from crowd.simulation.synthetic import Order, write_set
from crowd.tasks import taxonomies
from tests.s3 import start_s3


def test_a_data_set_is_written_from_images_in_a_bucket(settings: Settings, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_set(source, Order(2, 7, 160), 1, lambda done: None)
    given = Import(Delivery("Shop", "", Rights.OWNED), Standing.ACCEPTED)
    with start_s3() as server:
        rt = build_runtime(replace(settings, storage=f"s3://{server.make_bucket()}/crowd"))
        with Decoder(decode_limits(rt.policy)) as decoder:
            for item in read_kfashion(source, rt.taxonomy):
                assert isinstance(item, Labelled)
                assert take_labelled(rt, decoder, given, item)[0] is Outcome.TAKEN
        taxonomy_id = taxonomies.ensure(rt.db, rt.taxonomy)
        release = create_release(rt.db, "v1", taxonomy_id=taxonomy_id, by=None, now=clock.now())
        with rt.db.read() as conn:
            chosen = plan(conn, rt, release.id, "kfashion", "guideline")
        write_export(rt.db, rt.storage, chosen, Place(tmp_path / "out", link=False), lambda _: None)
        rt.db.close()
    pictures = {path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")}
    assert pictures == {path.read_bytes() for path in source.rglob("*.jpg")}
