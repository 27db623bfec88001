"""Recordings for tests: the real ones where they are, and simulated ones in the same files where they are not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests import made
from tests.folders import RECORDINGS

DAY = "binance_spot_20240808"
SMALL = "binance_spot_2021_small"

HAS_REAL = (RECORDINGS / DAY).is_dir() and (RECORDINGS / SMALL).is_dir()

# For what was measured on the real ones.
needs_recordings = pytest.mark.skipif(
    not HAS_REAL, reason="the recordings are not here: point VIBE_TEST_RECORDINGS at their folder"
)


def folder(name: str) -> Path:
    """`DAY` or `SMALL`."""
    return (RECORDINGS if HAS_REAL else made.folder()) / name


@cache
def day_files() -> tuple[Path, ...]:
    """Two files of each of two majors, in the order of time."""
    return tuple(
        folder(DAY) / f"spot_{symbol}_{day}.gz" for symbol in ("btcusdt", "ethusdt") for day in ("20240808", "20240809")
    )


def small_files() -> tuple[Path, ...]:
    return (folder(SMALL) / "BINANCE.ws.1.0",)
