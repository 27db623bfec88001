"""Which tests run in one process when several share the work: what they have in common is worked out once.

Groups by the marker `xdist_group` do nothing with pytest 9.2 and pytest-xdist 3.8: the worker renames a test for its
group through an attribute that pytest no longer reads. The names of tests are read here instead.
"""

from __future__ import annotations

import re
from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has none

# What a test's name has in common with those that belong to it.
TOGETHER: Final = re.compile(
    r"e2e/test_scenarios\.py::.*\b(ADAUSDT|BTCUSDT)\]"  # an hour of market
    r"|test_(recorded_measures|recorded_answers)\.py::.*\b(BTCUSDT|ETHUSDT)\]"  # ten minutes, played six times
    r"|(test_(?:a_restart_changes_\w+|what_is_stored_can_be_taken_in_later))\["  # hours of rows
)


def group_of(nodeid: str) -> str:
    found = TOGETHER.search(nodeid)
    return nodeid if found is None else " ".join(part for part in found.groups() if part)


class TogetherScheduling(LoadScopeScheduling):  # type: ignore[misc]  # the same
    """A test at a time, and those that belong together in one process. (The method is what xdist's docs override.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
