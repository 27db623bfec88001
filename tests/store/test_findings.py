from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.values import BTC, START, batch, record
from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.store.disk.layout import BASE
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.records.meta import decode_event, encode_event
from vibe_orderbook_mcp.store.summing import EVENTS_A_PIECE

pytestmark = pytest.mark.anyio

START_MS = START * 1000
HOUR = 3600

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def event(start_ms: int, kind: str = "update_burst", **fields: Any) -> StoredEvent:
    return StoredEvent(type=kind, start_ms=start_ms, severity="High", **fields)


@given(st.integers(0, 10**13), st.none() | st.integers(0, 10**13), st.none() | st.floats(0, 1), st.text(), plain, plain)
def test_what_a_detector_says_comes_back(
    start: int, end: int | None, rarity: float | None, severity: str, one: object, two: object
) -> None:
    evidence = {"one": one, "two": two}
    made = StoredEvent(type="x", start_ms=start, end_ms=end, severity=severity, rarity=rarity, evidence=evidence)
    assert decode_event(start, "x", encode_event(made)) == made


def test_what_is_no_event_is_an_error() -> None:
    for damaged in (b"", b"\xc1", b"\x91\x01", encode_event(event(1)).replace(b"\x01", b"\x02", 1)):
        with pytest.raises(StorageCorrupt):
            decode_event(1, "x", damaged)
    with pytest.raises(StorageError, match="plain"):
        encode_event(event(1, evidence={"what": object()}))


async def test_a_finding_that_goes_on_is_one_finding(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await history.put_events("BTCUSDT", [event(START_MS), event(START_MS, "flash_crash"), event(START_MS + 500)])
    await history.put_events("ETHUSDT", [event(START_MS)])
    await history.put_events("BTCUSDT", [])
    longer = event(START_MS, end_ms=START_MS + 9000, rarity=0.999, evidence={"ids": 4598, "side": "bid"})
    await history.put_events("BTCUSDT", [longer])
    await history.close()
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    found = await history.events("BTCUSDT", START_MS, START_MS + 501)
    assert found == [event(START_MS, "flash_crash"), longer, event(START_MS + 500)]
    assert await history.events("BTCUSDT", START_MS, START_MS + 500) == found[:2]
    assert await history.events("BTCUSDT", START_MS + 1, START_MS + 501) == found[2:]
    assert await history.count_events("BTCUSDT") == 3
    for wrong in ("", "a:b", "a\n"):
        with pytest.raises(StorageError, match="type"):
            await history.put_events("BTCUSDT", [event(1, wrong)])
    await history.close()


async def test_many_findings_come_in_order_and_whole(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    many = [event(START_MS + n // 2, f"kind{n % 2}") for n in range(EVENTS_A_PIECE * 2 + 1)]
    await history.put_events("BTCUSDT", many)
    assert await history.events("BTCUSDT", 0, 10**13) == many
    assert await history.count_events("BTCUSDT") == len(many)
    await history.close()


async def test_an_hours_baseline_is_replaced_until_the_hour_is_over(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    hours = [START // HOUR * HOUR + n * HOUR for n in range(3)]
    for hour in hours:
        for state in range(5):
            await history.put_baseline("BTCUSDT", hour, b"%d" % state)
    await history.put_baseline("ETHUSDT", hours[0], b"other")
    assert await history.baselines("BTCUSDT", hours[1]) == [(hours[1], b"4"), (hours[2], b"4")]
    reader = await History.open_secondary(tmp_path)
    assert await reader.baselines("BTCUSDT", 0) == [(hour, b"4") for hour in hours]
    with pytest.raises(StorageError, match="reading only"):
        await reader.put_baseline("BTCUSDT", hours[0], b"")
    with pytest.raises(StorageError, match="reading only"):
        await reader.put_events("BTCUSDT", [event(1)])
    await reader.close()
    await history.close()


async def test_baselines_older_than_eight_days_go(tmp_path: Path) -> None:
    """A week ago at the same hour is still wanted; `seal` is what is called anyway."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=30)
    await history.append([record(START)], [batch(1, 700)])
    first = START // HOUR * HOUR - 9 * 24 * HOUR
    for hour in range(first, START, HOUR):
        await history.put_baseline(BTC.symbol, hour, b"x" * 100)
    await history.seal("BTCUSDT", 10**13)
    kept = [hour for hour, _ in await history.baselines(BTC.symbol, 0)]
    assert kept[0] == START // HOUR * HOUR - 8 * 24 * HOUR
    assert kept[-1] == (START - 1) // HOUR * HOUR
    await history.close()


async def test_baselines_keep_to_their_share(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=8, retention_days=30)
    await history.append([record(START)])
    database = history._database
    assert database is not None
    noise = msgspec.msgpack.encode(list(range(10**6, 10**6 + 2000)))
    for n in range(150):
        data = bytes(byte ^ (n * 7 + i * i) & 255 for i, byte in enumerate(noise))
        await history.put_baseline(BTC.symbol, START // HOUR * HOUR + n * HOUR, data)
    database.flush()
    before = database.property(BASE, "rocksdb.total-sst-files-size")
    await history.retain(START + 150 * HOUR)
    after = database.property(BASE, "rocksdb.total-sst-files-size")
    share = history.layout.family_bytes(BASE)
    assert after < share < before
    kept = await history.baselines(BTC.symbol, 0)
    assert kept[-1][0] == START // HOUR * HOUR + 149 * HOUR
    assert len(kept) > 5
    await history.close()
