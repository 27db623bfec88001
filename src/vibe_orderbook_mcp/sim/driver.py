"""A market without sockets: its events as values, at full speed and in its own time. PURE.

The caller chooses the types of the values, so a client's own types can be used and this module does not depend on them:

    drive = Drive(model_of("BTCUSDT", seed=1, scenario="quiet"), DepthUpdate, Trade)
    for event in drive.until(drive.now_ms + 3_600_000): ...
    drive.snapshot(DepthSnapshot)       # the book as it is now: never older than the newest event
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from vibe_orderbook_mcp.sim.catalog import profile_of
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.ledger import best_first
from vibe_orderbook_mcp.sim.model import Ids, MarketModel
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.sim.scenarios import request_of, scenario_of
from vibe_orderbook_mcp.sim.sinks import D, MakeDepth, MakeTrade, Numbers, NumberSink, T

START_MS: Final = 1_795_000_000_000
STEP_MS: Final = 100
SNAPSHOT_LEVELS: Final = 5000
S = TypeVar("S")


def model_of(symbol: str, *, seed: int = 1, scenario: str = "normal", start_ms: int = START_MS) -> MarketModel:
    ids = Ids(start_ms, start_ms // 1000, start_ms // 500)
    return MarketModel(profile_of(symbol), seed=seed, start_ms=start_ms, ids=ids, scenario=scenario_of(scenario))


class Drive(Generic[D, T]):
    """One symbol's market."""

    def __init__(self, model: MarketModel, depth: MakeDepth[D], trade: MakeTrade[T], *, step_ms: int = STEP_MS) -> None:
        self.model = model
        self._sink = NumberSink(model.rules, depth, trade)
        self._step_ms = step_ms

    @property
    def symbol(self) -> str:
        return self.model.rules.symbol

    @property
    def rules(self) -> Rules:
        return self.model.rules

    @property
    def now_ms(self) -> int:
        return self.model.time_ms

    def scenario(self, name: str, **fields: object) -> Truth:
        """Have something happen, counted from now; see `scenarios.py`."""
        return self.model.scenario(request_of(name, self.symbol, **fields))

    def until(self, end_ms: int) -> Iterator[D | T]:
        """Events up to `end_ms` in the order an exchange would publish them. Time stands while the caller works."""
        model, sink = self.model, self._sink
        while model.time_ms < end_ms:
            yield from self._advance(min(end_ms, model.time_ms + self._step_ms), model, sink)

    def snapshot(self, make: Callable[[int, Numbers, Numbers], S], limit: int = SNAPSHOT_LEVELS) -> S:
        ledger = self.model.book.ledger
        levels = best_first(ledger.sides, limit)
        return make(ledger.last_id, self._sink.numbers(levels.bids), self._sink.numbers(levels.asks))

    @staticmethod
    def _advance(to_ms: int, model: MarketModel, sink: NumberSink[D, T]) -> list[D | T]:
        sink.loses = model.programme.loses if model.programme.is_losing else None
        model.play(to_ms, sink)
        events, sink.events = sink.events, []
        return events
