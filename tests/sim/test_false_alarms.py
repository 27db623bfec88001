"""`scripts/false_alarms` goes through the market and the detectors as a live second does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_SECS

SCRIPT = Path(__file__).parents[2] / "scripts" / "false_alarms"


def test_a_few_quiet_minutes_are_counted_by_detector_symbol_and_day(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--hours", "0.1", "--symbols", "WANUSDT,APTUSDT", "--seed", "4"]
    done = subprocess.run(  # noqa: S603  # our own script
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECS,
        env={**os.environ, "VIBE_TEST_RECORDINGS": str(tmp_path)},
    )
    assert "command   false_alarms --hours 0.1 --symbols WANUSDT,APTUSDT --seed 4" in done.stdout
    for symbol in ("WANUSDT", "APTUSDT"):
        _, _, part = done.stdout.partition(f"\n{symbol} (simulated, quiet)")
        first, day = part.splitlines()[:2]
        assert "0 gaps, 0 crossings" in first
        assert day.startswith("  day 1: 35")  # six minutes, but for the seconds that are not final yet
    assert done.stdout.count("update_burst      0") == 2
