"""Log lines that would repeat: the first is written, then one a minute that tells how many were not. Pure."""

from __future__ import annotations

from collections.abc import Hashable

EVERY_SECS = 60.0


class Repeats:
    """One for whoever logs. Seconds are any monotonic clock's; `about` is what the line is about."""

    def __init__(self, every_secs: float = EVERY_SECS) -> None:
        self._every_secs = every_secs
        self._said_secs: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def forget(self, part: Hashable) -> None:
        """Nothing is said any more about what has this part, such as a symbol."""
        for known in (self._said_secs, self._unsaid):
            for about in [about for about in known if isinstance(about, tuple) and part in about]:
                del known[about]

    def more(self, about: Hashable, now_secs: float) -> str | None:
        """What to put behind the line; None when it is not to be written now."""
        said_secs = self._said_secs.get(about)
        if said_secs is not None and now_secs - said_secs < self._every_secs:
            self._unsaid[about] = self._unsaid.get(about, 0) + 1
            return None
        self._said_secs[about] = now_secs
        unsaid = self._unsaid.pop(about, 0)
        return f" ({unsaid} more like this since the last line)" if unsaid else ""
