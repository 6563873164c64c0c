"""Small drawn sets for the tests of models, drawn once for each process."""

from pathlib import Path

import pytest

from crowd.ml.data import DataSet, read_folder
from crowd.simulation.synthetic import Order, write_set
from crowd.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of 40 images, 64 px wide."""
    folder = tmp_path_factory.mktemp("few") / "set"
    write_set(folder, Order(40, seed=2, size=64), 1, lambda done: None)
    return folder


@pytest.fixture(scope="session")
def few_read(few: Path, taxonomy: Taxonomy) -> DataSet:
    return read_folder(few, taxonomy)
