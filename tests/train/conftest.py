"""A tiny base, and what it says of a few rows."""

import pytest

from jaxdiff_train.reading.features import extract
from tests.agent.frozen_fills import tiny_base
from tests.train.reader_rows import LONG, ROWS


@pytest.fixture(scope="session")
def tiny():
    return tiny_base(0)


@pytest.fixture(scope="session")
def store(tiny, tmp_path_factory):
    """Features of `ROWS` and `LONG`."""
    return extract(tiny, [*ROWS, LONG], tmp_path_factory.mktemp("features"), "some")
