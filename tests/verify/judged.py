"""What `verify` says of a recording, beside what the slow computation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.verify import slow_venues
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.recording import Found, verify_files

COUNTS = ("frames", "applied", "gaps", "crossed", "repeated", "trades", "trade_ids_missing")
COMPARED = "the best prices are others in their own channel"
CHECKED = ("kraken", "okx of 2022")
UNPROVED_TRADES = ("bybit", "hyperliquid")


def found_in(path: Path, venue: str, lines: list[str]) -> tuple[Found, list[Top]]:
    path.write_text("".join(line + "\n" for line in lines))
    tops: list[Top] = []
    return verify_files([path], venue.partition(" ")[0], tops.append), tops


def faults(report: dict[str, Any]) -> list[int]:
    return [fault["line"] for fault in report["faults"] if fault["what"] != COMPARED]


def assert_equal(venue: str, found: Found, tops: list[Top], lines: list[str]) -> None:
    expected = slow_venues.verified(venue, lines)
    assert {one["instrument"].partition(":")[2] for one in found.instruments} == set(expected)
    for one in found.instruments:
        slowly = expected[one["instrument"].partition(":")[2]]
        counts = {name: one[name] for name in COUNTS}
        if venue in UNPROVED_TRADES:
            assert counts.pop("trade_ids_missing") is None
            del counts["trades"]
        assert counts == {name: slowly.counts[name] for name in counts}
        assert [(top.line, top.bid, top.ask) for top in tops if top.instrument == one["instrument"]] == slowly.tops
        if venue in CHECKED:
            assert (one["checked"], one["failed"]) == (slowly.counts["applied"], slowly.counts["failed"])
        first = sorted(set(faults(one)))
        assert first == sorted(slowly.faults)[: len(first)]
        assert len(one["faults"]) == 20 or len(first) == len(slowly.faults)
