"""What settled changes of single levels say of a second, beside its row. Not stored."""

from __future__ import annotations

import msgspec

from vibe_orderbook_mcp.seconds.refills import RefillChain, Turnover
from vibe_orderbook_mcp.seconds.taker_groups import TakerGroup
from vibe_orderbook_mcp.seconds.wall_watch import WallLife


class LevelEvidence(msgspec.Struct, frozen=True, gc=False):
    has_limits: bool  # whether it was known from which size a level is a wall
    walls: tuple[WallLife, ...] = ()  # large levels that vanished within ten seconds
    chains: tuple[RefillChain, ...] = ()  # refilled levels that were hit in this second
    turnovers: tuple[Turnover, ...] = ()  # of levels that are no longer hit
    sweeps: tuple[TakerGroup, ...] = ()  # the largest taker groups of each side, at three prices or more
