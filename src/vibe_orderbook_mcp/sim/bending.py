"""REST answers that come late, or never, because a fault says so."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request

from vibe_orderbook_mcp.sim.faults import Faults, RestPlan

HANG_POLL_S: Final = 0.02


async def hold_up(plan: RestPlan, request: Request, faults: Faults) -> None:
    """Wait as long as the plan says. A request that hangs waits until its fault is taken off or its client has left:
    two ends, so neither gives an event to await.
    """
    if plan.delay_s:
        await asyncio.sleep(plan.delay_s)
    while plan.hang is not None and faults.hangs(plan.hang):
        if await request.is_disconnected():
            return
        await asyncio.sleep(HANG_POLL_S)
