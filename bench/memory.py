"""What one symbol's seconds take in memory, while hours of them go by.

    python -m bench.memory [--hours 24]

Half an hour of the simulated market goes through book, rows and detectors; its rows and what single levels did are then
told again and again, later by as much and some hours livelier than others, through the same code as in production. The
figures are Python's own count of what `PastHour` and `SymbolWatch` hold: kB of one symbol beside its book.
"""

from __future__ import annotations

import argparse
import gc
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from vibe_orderbook_mcp.analytics.watch import SymbolWatch
from vibe_orderbook_mcp.core.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.core.evidence import LevelEvidence
from vibe_orderbook_mcp.core.past_hour import PastHour
from vibe_orderbook_mcp.core.rows import SecondRow
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.market import Market
from vibe_orderbook_mcp.sim.driver import Drive, model_of

SYMBOL = "BTCUSDT"
PATTERN_SECS = 1800
MINUTE, HOUR = 60, 3600
LOOKS_SECS = (5 * MINUTE, 10 * MINUTE, HOUR, 2 * HOUR, 24 * HOUR, 168 * HOUR)

Second = tuple[SecondRow, LevelEvidence | None]


def pattern(spec: SymbolSpec) -> list[Second]:
    drive = Drive(model_of(SYMBOL, scenario="normal"), DepthUpdate, Trade)
    market, seconds = Market(), list[Second]()
    state = market.add(spec)
    list(drive.until(drive.now_ms + 1000))
    market.load(SYMBOL, drive.snapshot(DepthSnapshot), 5000, drive.now_ms * 1_000_000)
    for event in drive.until(drive.now_ms + 1000 * PATTERN_SECS):
        if isinstance(event, Trade):
            market.receive_trade(SYMBOL, event)
        else:
            market.receive_depth(event, event.event_ms * 1_000_000)
        state.tape.take()
        for row, _ in state.seconds.take():
            seconds.append((row, state.seconds.take_evidence(row.second)))
    return seconds


def told_again(seconds: list[Second]) -> Iterator[Second]:
    """Fresh objects each time, as if they had just come."""
    packed = [msgspec.msgpack.encode(second) for second in seconds]
    decoder = msgspec.msgpack.Decoder(Second)
    first, round_ = seconds[0][0].second, 0
    while True:
        for place, data in enumerate(packed):
            row, evidence = decoder.decode(data)
            later = round_ * len(packed)
            livelier = 1 + round_ % 12 / 4
            row = msgspec.structs.replace(row, second=first + place + later, ids=int(row.ids * livelier))
            yield row, None if evidence is None else _later(evidence, 1000 * later)
        round_ += 1


def _later(evidence: LevelEvidence, by_ms: int) -> LevelEvidence:
    replace = msgspec.structs.replace
    return replace(
        evidence,
        walls=tuple(
            replace(each, born_ms=each.born_ms + by_ms, died_ms=each.died_ms + by_ms) for each in evidence.walls
        ),
        chains=tuple(
            replace(each, start_ms=each.start_ms + by_ms, last_ms=each.last_ms + by_ms) for each in evidence.chains
        ),
    )


def by_time(hours: float) -> dict[str, Any]:
    """{seconds that went by: bytes}."""
    rules = model_of(SYMBOL).rules
    spec = SymbolSpec(SYMBOL, "BTC", "USDT", Decimal(rules.price.text(1)), Decimal(rules.size.text(1)))
    coming = told_again(pattern(spec))
    next(coming)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    watch, past = SymbolWatch(spec), PastHour()
    found = {0: tracemalloc.get_traced_memory()[0] - before}
    for passed in range(1, int(hours * HOUR) + 1):
        _keep(watch, past, *next(coming))
        if passed % MINUTE == 0:
            watch.hour_blocks()
        if passed in LOOKS_SECS:
            gc.collect()
            found[passed] = tracemalloc.get_traced_memory()[0] - before
    top = tracemalloc.take_snapshot().statistics("lineno")[:12]
    tracemalloc.stop()
    return {"by_time": found, "top": [str(each) for each in top]}


def _keep(watch: SymbolWatch, past: PastHour, row: SecondRow, evidence: LevelEvidence | None) -> None:
    past.add(row)
    watch.second(row, evidence)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=24.0)
    found = by_time(parser.parse_args().hours)
    for passed, size in found["by_time"].items():
        print(f"{passed / HOUR:8.2f} h {size / 1000:10.0f} kB")
    print(*found["top"], sep="\n")


if __name__ == "__main__":
    main()
