"""One place for all tests of a process: it takes 15 s to start, and every test leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.place import Place
from tests.faults.specifications import DATASETS


@pytest.fixture(scope="session")
def whole_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("place"))
    with place.running():
        place.create(DATASETS, "--wait")
        yield place


@pytest.fixture
def place(whole_place: Place) -> Iterator[Place]:
    """With one API, one dispatcher, one worker, and the datasets of specifications.py.

    What a test stops, breaks, adds or leaves open is put right.
    """
    yield whole_place
    whole_place.restore()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    place = getattr(item, "funcargs", {}).get("whole_place")
    if report.failed and place is not None:
        report.sections.append(("parts", place.last_words()))
    return report
