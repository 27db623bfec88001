"""One line a symbol and minute about missing trades, however many holes there are."""

from __future__ import annotations

from tests.e2e.rig import listening
from vibe_orderbook_mcp.collect.hole_report import EVERY_SECS, HoleReport


def test_a_thousand_holes_are_two_lines_in_two_minutes() -> None:
    """1,891 lines in minutes buried everything else."""
    log = HoleReport()
    with listening("INFO") as logged:
        for second in range(2 * int(EVERY_SECS)):
            for number in range(16):
                first = 1000 * second + 10 * number
                log.lost("BTCUSDT", [(first, first + 1)], "the exchange has none that can be read")
            log.lost("ETHUSDT", [(second, second)], "they cannot be stored")
            log.filled("BTCUSDT", 3, 1_800_000_000.0 + second)
            log.say(float(second))
        said = ": the exchange has none that can be read"
        of_btc = [line for line in logged.messages if line.endswith(said)]
        assert of_btc == [
            f"Trades of BTCUSDT stay missing: 32 in 16 holes, ids 0 to 151{said}",
            f"Trades of BTCUSDT stay missing: 1920 in 960 holes, ids 1000 to 60151{said}",
        ]
        assert len([line for line in logged.messages if line.startswith("Filled")]) == 2
        assert logged.count("ETHUSDT stay missing: 1 in 1 hole, ids 0 to 0") == 1
        assert len(logged.messages) == 6
        del logged.messages[:]
        log.say(float(2 * EVERY_SECS - 1), is_end=True)  # the process ends: nothing is left unsaid
        assert sorted(logged.messages) == [
            "Filled 177 missing trades of BTCUSDT in the minute up to 08:01:59 UTC",
            f"Trades of BTCUSDT stay missing: 1888 in 944 holes, ids 61000 to 119151{said}",
            "Trades of ETHUSDT stay missing: 59 in 1 hole, ids 61 to 119: they cannot be stored",
        ]
        log.say(1e9, is_end=True)
        assert len(logged.messages) == 3


def test_of_a_symbol_that_is_kept_no_more_everything_is_said_and_nothing_is_left() -> None:
    log = HoleReport()
    with listening("INFO") as logged:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            log.filled(symbol, 3, 1_800_000_000.0)
        log.say(0.0)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            log.filled(symbol, 4, 1_800_000_001.0)
            log.lost(symbol, [(7, 8)], "they cannot be stored")
        log.forget("ETHUSDT")
        assert logged.messages[2:] == [
            "Filled 4 missing trades of ETHUSDT in the minute up to 08:00:01 UTC",
            "Trades of ETHUSDT stay missing: 2 in 1 hole, ids 7 to 8: they cannot be stored",
        ]
        log.say(1.0)
        assert logged.messages[4:] == ["Trades of BTCUSDT stay missing: 2 in 1 hole, ids 7 to 8: they cannot be stored"]
        log.filled("ETHUSDT", 1, 1_800_000_002.0)  # it is back
        log.say(2.0)
        assert logged.count("Filled 1 missing trades of ETHUSDT") == 1
