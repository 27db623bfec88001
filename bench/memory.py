"""The memory of one symbol's seconds over hours.

    python -m bench.memory [--hours 24]

Ten minutes of the simulated market go through book, rows and detectors; its rows and single levels are then replayed
repeatedly, each time later, and some hours livelier than others, through the same code as in production. The
figures are the sizes of all objects that `PastHour` and `SymbolWatch` hold: kB of one symbol beside its book.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from decimal import Decimal
from types import FunctionType, ModuleType

import msgspec

from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.past_hour import PastHour
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence
from vibe_orderbook_mcp.sim.driver import Drive, model_of

SYMBOL = "BTCUSDT"
PATTERN_SECS = 600
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
        seconds += [(each.record.row, each.evidence) for each in state.take().seconds]
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


def by_time(hours: float) -> dict[int, int]:
    """{seconds that went by: bytes}."""
    rules = model_of(SYMBOL).rules
    spec = SymbolSpec(SYMBOL, "BTC", "USDT", Decimal(rules.price.text(1)), Decimal(rules.size.text(1)))
    coming = told_again(pattern(spec))
    watch, past = SymbolWatch(spec), PastHour()
    found = {0: held([watch, past])}
    for passed in range(1, int(hours * HOUR) + 1):
        _keep(watch, past, *next(coming))
        if passed % MINUTE == 0:
            watch.hour_blocks()  # as they are stored
        if passed in LOOKS_SECS:
            found[passed] = held([watch, past])
    return found


def held(roots: list[object]) -> int:
    """Bytes of these objects and of all that they alone refer to, each once."""
    seen, waiting, size = set[int](), [*roots], 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, FunctionType, ModuleType)):
            continue
        seen.add(id(each))
        size += sys.getsizeof(each)
        if isinstance(each, msgspec.Struct):  # those that the collector does not look at name nobody to it
            waiting += [getattr(each, name) for name in each.__struct_fields__]
        else:
            waiting += gc.get_referents(each)
    return size


def _keep(watch: SymbolWatch, past: PastHour, row: SecondRow, evidence: LevelEvidence | None) -> None:
    past.add(row)
    watch.second(row, evidence)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=24.0)
    for passed, size in by_time(parser.parse_args().hours).items():
        print(f"{passed / HOUR:8.2f} h {size / 1000:10.0f} kB")


if __name__ == "__main__":
    main()
