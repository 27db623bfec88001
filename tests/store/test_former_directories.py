"""Directories that released programs wrote, opened by this one (tests/data/SOURCES.md)."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.folders import DATA
from tests.store.values import BTC, record
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.store.history import History

FORMER = sorted(path.name.removesuffix(".tar.gz") for path in (DATA / "directories").glob("*.tar.gz"))
FOREVER_DAYS = 36_500  # they are as old as they are
AS_WRITTEN = ("second", "covered_ms", "mid", "best_bid", "best_ask", "ids", "ofi", "buy_volume", "high")


def unpacked(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A former directory and what its own program read from it."""
    with tarfile.open(DATA / "directories" / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name, json.loads((DATA / "directories" / f"{name}.json").read_text("utf-8"))


def test_there_is_a_directory_of_each_row_version() -> None:
    assert FORMER == ["rows_1", "rows_2"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", FORMER)
async def test_a_former_directory_says_what_it_said(name: str, tmp_path: Path) -> None:
    """An update loses nothing, and reads nothing otherwise."""
    path, expected = unpacked(name, tmp_path)
    history = await History.open(path, cap_mb=64, retention_days=FOREVER_DAYS)
    try:
        rows = await history.rows("BTCUSDT", 0, 10**10 - 1)
        assert [rows[0].second, rows[-1].second, len(rows)] == expected["rows"]
        found = next(row for row in rows if row.second == expected["row"]["second"])
        assert {field: getattr(found, field) for field in AS_WRITTEN} == {f: expected["row"][f] for f in AS_WRITTEN}
        assert (found.bid.added, found.ask.cancelled) == (
            expected["row"]["bid_added"],
            expected["row"]["ask_cancelled"],
        )
        assert found.mlofi[0] == expected["row"]["mlofi_1"]
        assert found.bid_band_base[-1] == expected["row"]["bid_band_base"]
        tops = dict(await history.snapshots("BTCUSDT", 0, 10**10 - 1))
        top = tops[expected["book"]["second"]]
        assert len(tops) == expected["snapshots"]
        assert top.last_update_id == expected["book"]["last_update_id"]
        assert list(top.bids[0]) == expected["book"]["best_bid"]
        trades = await history.trades("BTCUSDT", 0, expected["trades"]["end_ms"])
        assert len(trades) == expected["trades"]["count"]
        assert round(sum(trade.size for trade in trades), 5) == expected["trades"]["base"]
    finally:
        await history.close()


@pytest.mark.anyio
@pytest.mark.parametrize("name", FORMER)
async def test_a_former_directory_is_recorded_on(name: str, tmp_path: Path) -> None:
    """New seconds lie behind the old ones, and both are read together, also after the next start."""
    path, expected = unpacked(name, tmp_path)
    _, last, count = expected["rows"]
    history = await History.open(path, cap_mb=64, retention_days=FOREVER_DAYS)
    new = [record(last + later) for later in range(1, 4)]
    kraken = msgspec.structs.replace(BTC, symbol="kraken:BTC/USD")
    await history.append([*new, record(last, kraken)])
    await history.close()
    history = await History.open(path, cap_mb=64, retention_days=FOREVER_DAYS)
    try:
        rows: list[SecondRow] = await history.rows("BTCUSDT", 0, 10**10 - 1)
        assert len(rows) == count + 3
        assert [msgspec.structs.replace(row) for row in rows[-3:]] == [each.row for each in new]
        assert [row.second for row in await history.rows("kraken:BTC/USD", 0, 10**10 - 1)] == [last]
    finally:
        await history.close()
