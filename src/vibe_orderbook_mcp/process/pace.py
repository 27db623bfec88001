"""Rates: of log lines that repeat, and of attempts."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator

EVERY_SECS = 60.0


class Repeats:
    """One for each logger. Seconds are any monotonic clock's; `about` is the subject of a line."""

    def __init__(self, every_secs: float = EVERY_SECS) -> None:
        self._every_secs = every_secs
        self._said_secs: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def forget(self, part: Hashable) -> None:
        """Forget subjects with this part, such as a symbol."""
        for known in (self._said_secs, self._unsaid):
            for about in [about for about in known if isinstance(about, tuple) and part in about]:
                del known[about]

    def more(self, about: Hashable, now_secs: float) -> str | None:
        """Text to append to the line; None to skip the line now."""
        said_secs = self._said_secs.get(about)
        if said_secs is not None and now_secs - said_secs < self._every_secs:
            self._unsaid[about] = self._unsaid.get(about, 0) + 1
            return None
        self._said_secs[about] = now_secs
        unsaid = self._unsaid.pop(about, 0)
        return f" ({unsaid} more like this since the last line)" if unsaid else ""


def delays(first_secs: float = 0.25, most_secs: float = 30.0, factor: float = 2.0) -> Iterator[float]:
    """Each delay is random between half of its step and the whole step, so that clients do not come in step."""
    step = first_secs
    while True:
        yield step * (0.5 + random.random() / 2)  # noqa: S311  # spreading load, not a secret
        step = min(most_secs, step * factor)
