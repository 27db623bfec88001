"""Faults of delivery, switched on and off while the exchange runs. PURE: the clock comes in, randomness is seeded.

A fault bends what reaches clients; the book behind it, its truth and its ids stay right. `kind` names the fault in
JSON, the fields below are its parameters. A fault ends after `count` uses or `seconds`, whichever is given, or when
it is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.channels import Message
from vibe_orderbook_mcp.sim.corruption import Bent, Corruption, RestCorruption, corrupt, shifted

Channel = Literal["depth", "trades", "ticker", "all"]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)]

CHANNEL_OF: Final[dict[str, Channel]] = {
    "aggTrade": "trades",
    "trade": "trades",
    "bookTicker": "ticker",
    "trades": "trades",
    "ticker": "ticker",
}
LEAD_VENUE: Final = "binance"


class _Fault(msgspec.Struct, tag_field="kind", kw_only=True, forbid_unknown_fields=True):
    """`venue` keeps a fault to one venue. A symbol is named as everywhere: "BTCUSDT", "kraken:BTC/USD"."""

    count: Count | None = None
    seconds: Seconds | None = None
    venue: str | None = None


class _Named(Protocol):
    """A fault that is about one instrument, or none in particular."""

    @property
    def symbol(self) -> str | None: ...

    @property
    def venue(self) -> str | None: ...


class _FrameFault(_Fault, kw_only=True):
    """Which frames: of one symbol or all, of a channel, each with a probability."""

    symbol: str | None = None
    channel: Channel = "depth"
    probability: Share = 1.0


class Drop(_FrameFault, tag="drop"):
    """Frames are lost."""


class Duplicate(_FrameFault, tag="duplicate"):
    """Frames come twice."""


class Reorder(_FrameFault, tag="reorder"):
    """A frame changes places with the next of its stream."""


class Corrupt(_FrameFault, tag="corrupt"):
    """A frame is replaced by a broken one."""

    mode: Corruption = "truncated"
    size: Annotated[int, msgspec.Meta(ge=1, le=2**26)] = 2**22  # bytes of a huge frame


class Stall(_Fault, tag="stall"):
    """Connections stay open and nothing is sent: a symbol's streams, one connection, or (neither given) everything."""

    symbol: str | None = None
    connection: int | None = None


class Disconnect(_Fault, tag="disconnect"):
    """At once: cut one connection, those of a venue or all, with a closing handshake or without."""

    connection: int | None = None
    abrupt: bool = True


class ServerShutdown(_Fault, tag="server_shutdown"):
    """At once: announce a shutdown on every connection, and cut them after `disconnect_after` seconds."""

    disconnect_after: Seconds | None = None


class Refuse(_Fault, tag="refuse"):
    """Websocket handshakes are answered with 503."""


class _RestFault(_Fault, kw_only=True):
    """`endpoint` is the last part of the path, e.g. "depth"; `symbol` that of the request."""

    endpoint: str | None = None
    symbol: str | None = None


class SlowRest(_RestFault, tag="slow_rest"):
    """REST answers come late."""

    delay: Seconds


class RestStatus(_RestFault, tag="rest_status"):
    """REST answers with an error status, or never. 429 and 418 say how long to wait, as they do on the exchange: in a
    header and, of 418, in the body too; `told` leaves one of them out."""

    status: Literal[403, 418, 429, 451, 500, 502, 503, "hang"]
    retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    told: Literal["both", "body", "date"] = "both"


class StaleSnapshot(_Fault, tag="stale_snapshot"):
    """REST depth serves the book of some seconds ago."""

    age: Annotated[float, msgspec.Meta(gt=0.0, le=55.0)]
    symbol: str | None = None


class CorruptRest(_RestFault, tag="corrupt_rest"):
    """REST answers come with status 200 and a broken body, or with some rows of their lists broken."""

    mode: RestCorruption = "truncated"


class Suspend(_Fault, tag="suspend"):
    """A symbol stops trading: its streams fall silent and `exchangeInfo` says so; REST denies a delisted one."""

    symbol: str
    status: Literal["HALT", "BREAK", "DELISTED"] = "HALT"


class Regrid(_Fault, tag="regrid"):
    """`exchangeInfo` reports a symbol's tick as 10^-exp now. Its prices stay the same: they are also on a finer
    grid."""

    symbol: str
    exp: Annotated[int, msgspec.Meta(ge=0, le=8)]


class ClockSkew(_Fault, tag="clock_skew"):
    """The exchange's clock is wrong: times in frames, trades and `time`."""

    millis: Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)]


Fault = (
    Drop
    | Duplicate
    | Reorder
    | Corrupt
    | Stall
    | Disconnect
    | ServerShutdown
    | Refuse
    | SlowRest
    | RestStatus
    | StaleSnapshot
    | CorruptRest
    | Suspend
    | Regrid
    | ClockSkew
)
Action = Disconnect | ServerShutdown
Place = tuple[str, int]  # stream, and the connection where it has its own frames
_DECODER: Final = msgspec.json.Decoder(Fault | list[Fault])


class RestPlan(NamedTuple):
    """What happens to one REST request."""

    delay_s: float = 0.0
    status: int | None = None
    retry_after: int | None = None
    told: str = "both"
    hang: int | None = None  # the id of the fault to wait for
    corruption: RestCorruption | None = None


class _Active:
    def __init__(self, fault: Fault, now: float) -> None:
        self.fault = fault
        self.left = fault.count
        self.until = None if fault.seconds is None else now + fault.seconds


def parse_faults(body: bytes) -> list[Fault]:
    """One fault or a list of them; `ConfigError` with one sentence when the JSON is not that."""
    try:
        parsed = _DECODER.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"This is not a fault: {error}.") from None
    return parsed if isinstance(parsed, list) else [parsed]


class Faults:
    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.act: Callable[[Action], None] = lambda _action: None  # the exchange carries out what happens at once
        self._random = Random(f"{seed}:faults")
        self._clock = clock
        self._active: dict[int, _Active] = {}
        self._next = 1
        self._held: dict[Place, Bent] = {}

    def add(self, fault: Fault) -> int:
        """Switch a fault on; the id takes it off again."""
        number = self._next
        self._next += 1
        if isinstance(fault, Disconnect | ServerShutdown):
            self.act(fault)
        else:
            self._active[number] = _Active(fault, self._clock())
        return number

    def remove(self, number: int) -> bool:
        return self._active.pop(number, None) is not None

    def clear(self) -> None:
        self._active.clear()

    def listing(self) -> list[dict[str, Any]]:
        now = self._clock()
        return [
            {"id": number, **msgspec.to_builtins(active.fault), "left": active.left}
            for number, active in list(self._active.items())
            if self._alive(number, now)
        ]

    @property
    def calm(self) -> bool:
        return not self._active and not self._held

    # Frames

    def shape(self, message: Message, now: float, connection: int = 0) -> list[Bent]:
        """What is sent in place of `message`, in order. `connection`: the only one that it is for."""
        name, _, kind = message.stream.partition("@")
        place = (message.stream, connection)
        channel = CHANNEL_OF.get(kind, "depth")
        out = [Bent(message.stream, message.payload)]
        for number, active in list(self._active.items()):
            fault = active.fault
            if isinstance(fault, Stall | Suspend):
                is_meant = _concerns(fault, name) and getattr(fault, "connection", None) is None
                if is_meant and self._use(number, now):
                    return []
            elif isinstance(fault, ClockSkew):
                if not connection and self._use(number, now):  # else the message was made by that clock
                    out = [shifted(bent, fault.millis) for bent in out]
            elif isinstance(fault, _FrameFault) and out:
                is_meant = fault.channel in (channel, "all") and _concerns(fault, name)
                if is_meant and self._strikes(fault, place) and self._use(number, now):
                    out = self._bend(fault, place, out)
        if out and (held := self._held.pop(place, None)) is not None:
            out.append(held)
        return out

    def forget(self, connection: int) -> None:
        """The connection is gone, and a frame that waited for the next one with it."""
        for place in [each for each in self._held if each[1] == connection]:
            del self._held[place]

    def _strikes(self, fault: _FrameFault, place: Place) -> bool:
        """A frame that waits to change places takes the next one of its stream, whatever its chance."""
        return self._random.random() < fault.probability and not (isinstance(fault, Reorder) and place in self._held)

    def _bend(self, fault: _FrameFault, place: Place, out: list[Bent]) -> list[Bent]:
        if isinstance(fault, Drop):
            return []
        if isinstance(fault, Duplicate):
            return [*out, *out]
        if isinstance(fault, Corrupt):
            return [corrupt(bent, fault.mode, fault.size) for bent in out]
        self._held[place] = out.pop()
        return out

    def stalled(self, connection: int, now: float) -> bool:
        return any(
            isinstance(active.fault, Stall) and active.fault.connection == connection and self._use(number, now)
            for number, active in list(self._active.items())
        )

    def refuses_handshake(self, now: float, venue: str = LEAD_VENUE) -> bool:
        return any(
            isinstance(active.fault, Refuse) and active.fault.venue in (None, venue) and self._use(number, now)
            for number, active in list(self._active.items())
        )

    # REST

    def rest_plan(self, path: str, symbol: str, now: float) -> RestPlan:
        plan = RestPlan()
        for number, active in list(self._active.items()):
            fault = active.fault
            if not isinstance(fault, SlowRest | RestStatus | CorruptRest) or not _concerns(fault, symbol):
                continue
            if fault.endpoint is not None and not path.endswith("/" + fault.endpoint):
                continue
            if not self._use(number, now):
                continue
            if isinstance(fault, SlowRest):
                plan = plan._replace(delay_s=plan.delay_s + fault.delay)
            elif isinstance(fault, CorruptRest):
                plan = plan._replace(corruption=fault.mode)
            elif fault.status == "hang":
                plan = plan._replace(hang=number)
            else:
                plan = plan._replace(status=fault.status, retry_after=fault.retry_after, told=fault.told)
        return plan

    def hangs(self, number: int) -> bool:
        """Whether a request caught by this fault is still kept waiting."""
        return self._alive(number, self._clock(), used_up=True)

    def snapshot_age_ms(self, symbol: str, now: float) -> int:
        """How old the depth answer must be; 0 is the present."""
        for number, active in list(self._active.items()):
            fault = active.fault
            if isinstance(fault, StaleSnapshot) and _concerns(fault, symbol) and self._use(number, now):
                return int(fault.age * 1000)
        return 0

    def suspension(self, symbol: str) -> str | None:
        """The status that `exchangeInfo` tells of a symbol that was made to stop; None for one that trades."""
        now = self._clock()
        for number, active in list(self._active.items()):
            if isinstance(active.fault, Suspend) and active.fault.symbol == symbol and self._alive(number, now):
                return active.fault.status
        return None

    def tick_exp(self, symbol: str) -> int | None:
        """What `exchangeInfo` was made to tell; None for the truth."""
        now = self._clock()
        for number, active in list(self._active.items()):
            if isinstance(active.fault, Regrid) and active.fault.symbol == symbol and self._alive(number, now):
                return active.fault.exp
        return None

    def skew_ms(self) -> int:
        """How far the exchange's clock is off."""
        now = self._clock()
        return sum(
            active.fault.millis
            for number, active in list(self._active.items())
            if isinstance(active.fault, ClockSkew) and self._alive(number, now)
        )

    def _alive(self, number: int, now: float, *, used_up: bool = False) -> bool:
        active = self._active.get(number)
        if active is None:
            return False
        if active.until is not None and now >= active.until:
            del self._active[number]
            return False
        return used_up or active.left is None or active.left > 0

    def _use(self, number: int, now: float) -> bool:
        """Use a fault once; False when it is over."""
        if not self._alive(number, now):
            return False
        active = self._active[number]
        if active.left is not None:
            active.left -= 1
            # A hanging request keeps its fault until it is removed: that is how the wait ends.
            hanging = isinstance(active.fault, RestStatus) and active.fault.status == "hang"
            if active.left == 0 and not hanging:
                del self._active[number]
        return True


def _concerns(fault: _Named, name: str) -> bool:
    """Whether a fault is about an instrument. One of the lead venue may be named with the venue or without."""
    venue = name.partition(":")[0] if ":" in name else LEAD_VENUE
    wanted = None if fault.symbol is None else fault.symbol.removeprefix(f"{LEAD_VENUE}:").lower()
    return fault.venue in (None, venue) and wanted in (None, name.lower())
