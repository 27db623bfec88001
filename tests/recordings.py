"""Where the real recordings are; tests that need them skip with a reason where they are not."""

from __future__ import annotations

import pytest

from tests.folders import RECORDINGS

DAYS_2024 = tuple(
    RECORDINGS / "binance_spot_20240808" / f"spot_{symbol}_{day}.gz"
    for symbol in ("btcusdt", "ethusdt")
    for day in ("20240808", "20240809")
)

needs_recordings = pytest.mark.skipif(
    not all(path.exists() for path in DAYS_2024),
    reason="the recordings are not here: point VIBE_TEST_RECORDINGS at their folder",
)
