"""Where Binance's recorded frames are. They are not part of this repository; what needs them says so without them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDINGS = Path(os.environ.get("VIBE_TEST_RECORDINGS") or ROOT.parent / "shared" / "data")
