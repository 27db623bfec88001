"""What kind of market the model plays, by name. PURE.

So far a scenario is a pace. One-sided flow, bursts, icebergs, walls and drains are further fields of `Scenario` that
the agents in `model.py` read, each with a default that leaves today's markets as they are.
"""

from __future__ import annotations

from typing import Final

import msgspec

from vibe_orderbook_mcp.errors import ConfigError


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    pace: float = 1.0  # how lively, relative to the recorded market


SCENARIOS: Final[dict[str, Scenario]] = {
    "normal": Scenario(),
    "quiet": Scenario(pace=0.25),
    "busy": Scenario(pace=2.5),
}


def scenario_of(name: str) -> Scenario:
    try:
        return SCENARIOS[name]
    except KeyError:
        raise ConfigError(f"There is no scenario {name!r}; choose one of {', '.join(SCENARIOS)}.") from None
