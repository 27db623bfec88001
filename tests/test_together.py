"""What shares an hour of market runs in one process, however the tests are distributed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.folders import ROOT
from tests.patience import PATIENCE_SECS
from tests.together import group_of


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/e2e/test_scenarios.py::test_news_is_no_update_burst[buy-BTCUSDT]", "BTCUSDT"),
        ("tests/e2e/test_scenarios.py::test_a_burst_of_updates_is_one_update_burst[ADAUSDT]", "ADAUSDT"),
        ("tests/analytics/test_recorded_measures.py::test_spread[ETHUSDT]", "recorded_measures ETHUSDT"),
        ("tests/analytics/test_baseline.py::test_a_restart_changes_nothing[3599]", "test_a_restart_changes_nothing"),
    ],
)
def test_tests_are_grouped_by_what_they_share(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_other_tests_are_their_own_group() -> None:
    nodeid = "tests/book/test_book.py::test_a_side_equals_a_dict_in_order[python]"
    assert group_of(nodeid) == nodeid


def test_a_group_runs_in_one_process(tmp_path: Path) -> None:
    """Markers of groups did nothing, and nothing said so."""
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.conftest import pytest_xdist_make_scheduler\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.parametrize('stop', range(8))\n"
        "def test_a_restart_changes_nothing(stop, record_property):\n"
        f"    open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(  # noqa: S603  # our own file
        [*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_SECS
    )
    assert done.returncode == 0, done.stdout
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 8
    assert len(set(pids)) == 1
