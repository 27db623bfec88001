from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.outcomes import PARTS, Outcome
from tests.together import TogetherScheduling

# A busy machine is not a failing test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    return TogetherScheduling(config, log)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def outcome(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Outcome]:
    """The row of the fault matrix that the test marked with `fault` fills in."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "only a test marked with `fault` has an outcome"
    row = marker.kwargs
    assert row["part"] in PARTS
    for name in ("part", "fault", "promise"):
        record_property(name, row[name])
    told = Outcome(record_property)
    failed_before = request.session.testsfailed
    yield told
    if request.session.testsfailed == failed_before:
        assert told.has_ended, "the row does not say how the fault ended"
        assert told.has_books or row["part"] != "exchange", "no book was held against the true one"
