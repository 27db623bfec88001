"""Venues are made when somebody wants an instrument of theirs, and each is asked at its own address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibe_orderbook_mcp.collect.adapters import ADAPTERS
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.model.instrument import KEPT_VENUES, VENUES
from vibe_orderbook_mcp.process.config import load_settings


def test_every_kept_venue_has_an_adapter_and_addresses() -> None:
    """One that can be named and not made would fail at its first question."""
    assert ADAPTERS.keys() == KEPT_VENUES <= VENUES.keys()
    settings = load_settings()
    for venue, make in ADAPTERS.items():
        adapter = make(settings.addresses(venue).rest_url)
        assert adapter.venue.traits.name == venue
        assert adapter.venue.traits.proof.book != "none"


def test_a_venue_is_made_with_its_first_instrument(tmp_path: Path) -> None:
    runtime = Runtime(load_settings(symbols="kraken:BTC/USD", data_path=tmp_path))
    assert [exchange.venue for exchange in runtime.exchanges] == ["kraken"]
    assert runtime.exchanges.feed("ETHUSDT") is runtime.exchanges.feed("binance:BTCUSDT")
    assert [exchange.venue for exchange in runtime.exchanges] == ["kraken", "binance"]


@pytest.mark.parametrize(("symbols", "imported"), [("BTCUSDT", "binance"), ("kraken:BTC/USD", "kraken")])
def test_a_venue_that_nobody_wants_is_not_imported(symbols: str, imported: str, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from vibe_orderbook_mcp.collect.runtime import Runtime\n"
        "from vibe_orderbook_mcp.process.config import load_settings\n"
        f"Runtime(load_settings(symbols={symbols!r}, data_path={str(tmp_path)!r}))\n"
        "print(sorted({name.split('.')[2] for name in sys.modules if name.startswith('vibe_orderbook_mcp.venues.')\n"
        "              and name.count('.') > 2}))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)  # noqa: S603  # our own
    assert said.stdout.strip() == str([imported])
