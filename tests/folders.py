"""Where our own test data is, and where recordings are. Those are not in this repository: tests skip without them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"  # our own: its SOURCES.md says how each file was made
RECORDINGS = Path(os.environ.get("VIBE_TEST_RECORDINGS") or ROOT.parent / "shared" / "data")
