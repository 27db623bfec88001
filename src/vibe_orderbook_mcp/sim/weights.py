"""The exchange's request weights: 6000 a minute for an address, then 429, and 418 for those who do not stop. PURE."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
PATIENCE: Final = 10  # requests after a 429 until the address is banned
FIRST_BAN_MS: Final = 120_000
LONGEST_BAN_MS: Final = 3 * 86_400_000


class Verdict(NamedTuple):
    """`status` 200 serves the request; 429 and 418 say to wait."""

    used: int
    status: int = 200
    retry_after_s: int = 0


class _Address:
    def __init__(self) -> None:
        self.minute = 0
        self.used = 0
        self.ignored = 0
        self.bans = 0
        self.banned_until_ms = 0


class Weights:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._addresses: dict[str, _Address] = {}

    def spend(self, address: str, weight: int, now_ms: int) -> Verdict:
        """Count a request. Used weight starts again with every minute of the clock."""
        who = self._addresses.setdefault(address, _Address())
        if now_ms // MINUTE_MS != who.minute:
            who.minute, who.used, who.ignored = now_ms // MINUTE_MS, 0, 0
        who.used += weight
        if now_ms < who.banned_until_ms:
            return Verdict(who.used, 418, math.ceil((who.banned_until_ms - now_ms) / 1000))
        if who.used <= self.limit:
            return Verdict(who.used)
        who.ignored += 1
        if who.ignored > PATIENCE:
            ban_ms = min(FIRST_BAN_MS * 2**who.bans, LONGEST_BAN_MS)
            who.bans += 1
            who.banned_until_ms = now_ms + ban_ms
            return Verdict(who.used, 418, ban_ms // 1000)
        return Verdict(who.used, 429, math.ceil((MINUTE_MS - now_ms % MINUTE_MS) / 1000))
