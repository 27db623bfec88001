"""Recordings of others, each by the rule of its venue: what they are known to agree in has to come out."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.folders import RECORDINGS
from tests.verify import slow_venues
from tests.verify.judged import assert_equal, found_in
from vibe_orderbook_mcp.frames.lines import read_lines
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.recording import verify_files

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings in {RECORDINGS}")

# Folder -> instrument -> (applied, checked, failed, trades).
FOLDERS: dict[str, dict[str, tuple[int, int, int, int]]] = {
    "binance_spot_20240808": {"BTCUSDT": (6493, 6493, 2, 19904), "ETHUSDT": (6468, 6468, 0, 14515)},
    "binance_spot_2021_small": {
        "BLZETH": (9, 3, 0, 0),
        "LRCBTC": (13, 13, 0, 1),
        "NKNUSDT": (149, 143, 0, 1),
        "RUNEEUR": (1, 0, 0, 0),
    },
    "venues/binance_spot": {"BTCUSDT": (0, 0, 0, 748), "ETHUSDT": (0, 0, 0, 415)},
    "venues/binance_us": {
        "binance-us:COMPUSDT": (106, 103, 0, 0),
        "binance-us:CRVUSDT": (28, 18, 0, 0),
        "binance-us:OMGBUSD": (158, 155, 0, 11),
        "binance-us:ZRXUSDT": (40, 40, 0, 0),
    },
    "venues/binance_usdm": {
        "binance-usdm:AKROUSDT": (188, 182, 0, 8),
        "binance-usdm:CTKUSDT": (180, 180, 0, 38),
        "binance-usdm:ETHUSDT": (6581, 6581, 0, 14076),
        "binance-usdm:KEEPUSDT": (132, 130, 0, 5),
        "binance-usdm:SUSHIUSDT": (252, 252, 0, 40),
    },
    "venues/binance_coinm": {"binance-coinm:ETHUSD_PERP": (39133, 39133, 0, 3595)},
    "venues/kraken_spot_v2": {"kraken:BTC/USD": (562, 562, 0, 12), "kraken:ETH/USD": (2400, 2400, 0, 5)},
    "venues/okx": {
        "okx:BTC-USD-220527": (99, 99, 0, 4),
        "okx:BTC-USDT": (98, 98, 0, 69),
        "okx:UNI-USD-SWAP": (93, 93, 0, 1),
    },
    "venues/coinbase_exchange": {"coinbase:BTC-USD": (980, 0, 0, 344), "coinbase:ETH-USD": (920, 0, 0, 91)},
    "venues/hyperliquid": {"hyperliquid:BTC": (46, 0, 0, 0)},
    "venues/kucoin": {
        "kucoin:ANKR-BTC": (243, 79, 0, 0),
        "kucoin:BCHSV-USDT": (2342, 277, 0, 5),
        "kucoin:CAPP-BTC": (92, 51, 0, 0),
        "kucoin:COV-BTC": (48, 30, 0, 0),
        "kucoin:DAPPT-BTC": (162, 53, 0, 12),
        "kucoin:EQZ-BTC": (40, 27, 0, 0),
        "kucoin:FET-BTC": (218, 111, 0, 1),
        "kucoin:NRG-BTC": (60, 34, 0, 0),
        "kucoin:SNX-BTC": (600, 157, 0, 0),
    },
}
# Those whose best prices go by no id: how many agree.
LIKELY = {"venues/coinbase_exchange": (434, 435), "venues/deribit": (89, 89), "venues/kraken_futures": (107, 107)}
VERIFIED = {"venues/binance_spot": "chain", "venues/coinbase_exchange": "unproved", "venues/hyperliquid": "snapshots"}
UNPROVED_TRADES = ("venues/hyperliquid", "venues/kucoin")
BEFORE = {"venues/coinbase_exchange": 1}


def files_of(folder: str) -> list[Path]:
    """Frames alone: answers beside them are found."""
    files = sorted((RECORDINGS / folder).iterdir())
    return [path for path in files if ".ws." in path.name or ".ndjson" in path.name or "20" in path.name]


def reports_of(folder: str) -> tuple[list[dict[str, Any]], bool, list[Top]]:
    tops: list[Top] = []
    found = verify_files(files_of(folder), top=tops.append)
    return found.instruments, found.is_sound, tops


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_chains_checksums_and_best_prices_of_real_recordings_agree(folder: str) -> None:
    """Two tickers of BTCUSDT were skipped by the recorder, so 99.9 % and not all."""
    reports, is_sound, tops = reports_of(folder)
    expected = FOLDERS[folder]
    assert {one["instrument"] for one in reports} == set(expected)
    for one in reports:
        assert (one["applied"], one["checked"], one["failed"], one["trades"]) == expected[one["instrument"]]
        assert one["verified"] == VERIFIED.get(folder, "book")
        assert one["gaps"] == one["crossed"] == one["repeated"] == one["unreadable"] == 0
        assert one["trade_ids_missing"] == (None if folder in UNPROVED_TRADES else 0)
        assert one["failed"] <= one["checked"] / 1000
        assert one["trades_before"] == BEFORE.get(folder, 0)
        assert sum(top.instrument == one["instrument"] for top in tops) == one["applied"]
    assert is_sound == all(one["failed"] == 0 for one in reports)


@pytest.mark.parametrize("folder", sorted(LIKELY))
def test_prices_that_go_by_no_id_agree_as_often_as_they_are_known_to(folder: str) -> None:
    reports, is_sound, _ = reports_of(folder)
    assert is_sound
    counted = (sum(one["likely_agreed"] for one in reports), sum(one["likely_compared"] for one in reports))
    assert counted == LIKELY[folder]


def test_books_of_deribit_hold_their_chain() -> None:
    reports, is_sound, tops = reports_of("venues/deribit")
    assert is_sound
    assert len(reports) == 10
    assert sum(one["applied"] for one in reports) == sum(one["frames"] for one in reports) == len(tops) == 46
    assert {one["channel"] for one in reports} == {"raw"}


def test_books_of_kraken_futures_and_their_trades_hold_their_chain() -> None:
    reports, is_sound, _ = reports_of("venues/kraken_futures")
    assert is_sound
    assert sum(one["applied"] for one in reports) == 7014 + 10
    assert {(one["trades_before"], one["trade_ids_missing"]) for one in reports} == {(100, 0)}
    assert sum(one["trades"] for one in reports) == 3


def test_books_of_gate_hold_their_chain_and_agree_with_tickers_of_their_id() -> None:
    """One spot pair has a single frame, which is older than its answer: of it nothing can be said. An 18th ticker is of
    an answer that no frame continues.
    """
    for folder, unsaid, applied, checked in (("gateio", 1, 159, 0), ("gateio_futures", 0, 316, 17)):
        reports, is_sound, _ = reports_of(f"venues/{folder}")
        assert [one["verified"] for one in reports].count("nothing") == unsaid
        assert is_sound == (not unsaid)
        assert sum(one["applied"] for one in reports) == applied
        assert sum(one["checked"] for one in reports) == checked
        assert not any(one["gaps"] or one["crossed"] or one["failed"] for one in reports)


@pytest.mark.parametrize(("folder", "label"), [("bitfinex", "Bitfinex"), ("bitget_v1", "Bitget"), ("htx", "HTX")])
def test_recordings_of_other_venues_are_refused_by_name(folder: str, label: str) -> None:
    with pytest.raises(ConfigError, match=rf"{label} \(.*recordings of Binance spot .* can be verified"):
        verify_files(files_of(f"venues/{folder}"))


def test_answers_beside_frames_of_venues_that_need_none_do_no_harm() -> None:
    for folder in ("kraken_spot_v2", "coinbase_exchange"):
        alone, beside = files_of(f"venues/{folder}"), sorted((RECORDINGS / "venues" / folder).iterdir())
        assert len(beside) > len(alone)
        found = verify_files([*alone, *(path for path in beside if path not in alone)])
        assert found == verify_files(alone)


def real_frames(folder: str, marks: tuple[bytes, ...], most: int) -> list[str]:
    """The first frames of books and trades, without times."""
    (path,) = files_of(folder)
    lines = (line.frame for line in read_lines(path, lambda _said: None))
    return [frame.decode() for frame in lines if any(mark in frame for mark in marks)][:most]


REAL = {
    "kraken": ("venues/kraken_spot_v2", (b'"channel":"book","type"', b'"channel":"trade","type"')),
    "okx of 2022": ("venues/okx", (b'"action":', b'"tradeId":')),
}


@pytest.mark.parametrize("damage", ["drop", "swap", "double"])
@pytest.mark.parametrize("venue", REAL)
def test_damaged_recordings_are_judged_as_the_slow_way_judges_them(tmp_path: Path, venue: str, damage: str) -> None:
    """50 seeded places each. A frame that is missing shows at the next one of its book, or has no effect."""
    folder, marks = REAL[venue]
    whole = real_frames(folder, marks, 350)
    places = [at for at, frame in enumerate(whole) if '"type":"update"' in frame or '"action":"update"' in frame]
    unnoticed = 0
    for seed in range(50):
        chance = Random(f"{venue} {damage} {seed}")
        lines, place = list(whole), chance.choice([at for at in places if at < 250 and "checksum" in whole[at]])
        symbol = slow_venues.read(venue, lines[place])[0].symbol
        following = next(at for at in places if at > place and f'"{symbol}"' in whole[at] and "checksum" in whole[at])
        if damage == "drop":
            del lines[place]
        elif damage == "swap":
            lines[place], lines[following] = lines[following], lines[place]
        else:
            lines.insert(place, lines[place])
        found, tops = found_in(tmp_path / "x", venue, lines)
        assert_equal(venue, found, tops, lines)
        unnoticed += not any(one["faults"] for one in found.instruments)
    assert (unnoticed == 50) == (damage == "double")
