"""Which fault comes when: drawn from a seed, so that a run that found something can be repeated. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Literal, NamedTuple, get_args

from vibe_orderbook_mcp.sim.corruption import Corruption
from vibe_orderbook_mcp.sim.faults import (
    Corrupt,
    CorruptRest,
    Disconnect,
    Drop,
    Duplicate,
    Fault,
    Refuse,
    Reorder,
    RestStatus,
    ServerShutdown,
    SlowRest,
    StaleSnapshot,
    Stall,
    Suspend,
)

MEAN_PAUSE_SECS = 1.5
MODES: tuple[Corruption, ...] = get_args(Corruption)
STATUSES: tuple[Literal[403, 418, 429, 451, 500, 502, 503, "hang"], ...] = (403, 418, 429, 451, 500, 502, 503, "hang")
SUSPENSIONS: tuple[Literal["HALT", "BREAK", "DELISTED"], ...] = ("HALT", "BREAK", "DELISTED")


class HalfOpen(NamedTuple):
    """The connections of this moment die without a word."""


class Planned(NamedTuple):
    """A fault, and how long to wait before it."""

    pause_secs: float
    fault: Fault | HalfOpen


def schedule(count: int, seed: int, symbols: tuple[str, ...]) -> Iterator[Planned]:
    """Faults overlap as they please. A clock that jumps is not among them: it has a row of its own."""
    random = Random(seed)
    draws = (_frames, _connection, _rest, _silence)
    for _ in range(count):
        (draw,) = random.choices(draws, weights=(55, 17, 22, 6))
        yield Planned(random.expovariate(1 / MEAN_PAUSE_SECS), draw(random, symbols))


def _frames(random: Random, symbols: tuple[str, ...]) -> Fault:
    scope: dict[str, Any] = {
        "symbol": random.choice((*symbols, None)),
        "channel": random.choice(("depth", "depth", "trades", "all")),
        "probability": random.choice((0.05, 0.3, 1.0)),
        **_length(random, most=1.5),
    }
    kind = random.choice((Drop, Duplicate, Reorder, Corrupt))
    if kind is not Corrupt:
        return kind(**scope)
    mode = random.choice(MODES)
    return Corrupt(**(scope | {"count": 1, "seconds": 1.0} if mode == "huge" else scope), mode=mode)


def _connection(random: Random, symbols: tuple[str, ...]) -> Fault | HalfOpen:
    (kind,) = random.choices(("cut", "close", "shutdown", "refuse", "half open"), weights=(4, 4, 3, 3, 1))
    if kind == "half open":
        return HalfOpen()
    if kind == "refuse":
        return Refuse(**_length(random, most=2.0, most_uses=3))
    if kind == "shutdown":
        return ServerShutdown(disconnect_after=random.choice((None, 0.5, 2.0)))
    return Disconnect(abrupt=kind == "cut")


def _rest(random: Random, symbols: tuple[str, ...]) -> Fault:
    endpoint, length = random.choice((None, "depth", "depth", "aggTrades")), _length(random, most=2.0, most_uses=3)
    kind = random.choice((SlowRest, RestStatus, RestStatus, StaleSnapshot, CorruptRest))
    if kind is SlowRest:
        return SlowRest(delay=random.uniform(0.1, 1.5), endpoint=endpoint, **length)
    if kind is StaleSnapshot:
        return StaleSnapshot(age=random.uniform(0.5, 20.0), symbol=random.choice((*symbols, None)), **length)
    if kind is CorruptRest:
        return CorruptRest(mode=random.choice(("truncated", "not_json")), endpoint=endpoint, **length)
    status = random.choice(STATUSES)
    if status == "hang":
        length = {"seconds": random.uniform(0.2, 2.0)}
    return RestStatus(status=status, endpoint=endpoint, retry_after=1 if status in (418, 429) else None, **length)


def _silence(random: Random, symbols: tuple[str, ...]) -> Fault:
    if random.random() < 0.6:
        return Stall(symbol=random.choice((*symbols, None)), seconds=random.uniform(0.5, 5.0))
    return Suspend(symbol=random.choice(symbols), status=random.choice(SUSPENSIONS), seconds=random.uniform(0.5, 5.0))


def _length(random: Random, *, most: float, most_uses: int = 10) -> dict[str, Any]:
    """A while, or a number of uses within a while: nobody may come to use it up."""
    secs = random.uniform(0.1, most)
    return {"seconds": secs} if random.random() < 0.6 else {"count": random.randint(1, most_uses), "seconds": 3 * most}
