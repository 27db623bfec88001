from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.folders import ROOT
from tests.outcomes import PARTS, Outcome
from tests.together import TogetherScheduling

# A busy machine is not a failing test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    return TogetherScheduling(config, log)


def pytest_collection(session: pytest.Session) -> None:
    """Each of several workers compiles a share of all test modules; it finds the rest compiled by the others."""
    share = getattr(session.config, "workerinput", None)
    if share is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    first, step = int(share["workerid"].removeprefix("gw")), share["workercount"]
    for path in sorted((ROOT / "tests").rglob("test_*.py"))[first::step]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collecting meets it again, and says so
            importlib.import_module(name)


def pytest_collection_finish() -> None:
    """Thousands of tests and modules stay to the end. Looked through for garbage again and again, they took a third of
    all time."""
    gc.collect()
    gc.freeze()


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
