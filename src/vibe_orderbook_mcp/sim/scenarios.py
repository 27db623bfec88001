"""What the model plays, by name: the pace of a market, and what may happen in it. PURE.

A pace is how the whole market is, from start to end. The others are things that begin at a time, last for a while and
leave a normal market behind. In JSON `scenario` names them and the fields below are their parameters:

    {"scenario": "drain", "symbol": "BTCUSDT", "after": 10, "seconds": 20, "side": "bid"}

Sides "bid" and "ask" are sides of the book, "buy" and "sell" are what aggressors do.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError

BookSide = Literal["bid", "ask"]
Direction = Literal["buy", "sell"]
Wait = Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)]
Length = Annotated[float, msgspec.Meta(ge=1.0, le=3_600.0)]
Period = Annotated[float, msgspec.Meta(ge=10.0, le=86_400.0)]
Times = Annotated[float, msgspec.Meta(ge=2.0, le=100.0)]

# How a scenario is played that was asked for on the command line.
FIRST_AFTER_S: Final = 90.0
AGAIN_EVERY_S: Final = 180.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    pace: float = 1.0  # how lively, relative to the recorded market


SCENARIOS: Final[dict[str, Scenario]] = {
    "normal": Scenario(),
    "quiet": Scenario(pace=0.25),
    "busy": Scenario(pace=2.5),
}


class Request(msgspec.Struct, tag_field="scenario", frozen=True, kw_only=True, forbid_unknown_fields=True):
    symbol: str
    after: Wait = 0.0  # seconds of normal market before it begins
    seconds: Length = 20.0
    every: Period | None = None  # seconds from one beginning to the next, which is on the other side

    @property
    def name(self) -> str:
        return str(self.__struct_config__.tag)


class OneSidedFlow(Request, tag="one_sided_flow", frozen=True):
    """Nearly all aggressors trade in one direction: their volume is `ratio` times that of the others."""

    seconds: Length = 30.0
    side: Direction = "buy"
    ratio: Annotated[float, msgspec.Meta(ge=3.0, le=100.0)] = 5.0


class UpdateBurst(Request, tag="update_burst", frozen=True):
    """Orders are placed and cancelled `times` as fast as usual, with few trades; mid does not move."""

    seconds: Length = 10.0
    times: Times = 20.0


class NewsBurst(Request, tag="news_burst", frozen=True):
    """Everybody acts `times` as fast, trades included, and the price moves by `move_bps`, or more on a coarse grid."""

    seconds: Length = 10.0
    side: Direction = "buy"
    times: Times = 20.0
    move_bps: Annotated[float, msgspec.Meta(ge=1.0, le=500.0)] = 30.0


class Iceberg(Request, tag="iceberg", frozen=True):
    """An order of `parts` tranches at the touch shows one of them at a time, and aggressors keep hitting it."""

    seconds: Length = 30.0
    side: BookSide = "bid"
    parts: Annotated[int, msgspec.Meta(ge=2, le=100)] = 25  # the exchange's limit (ICEBERG_PARTS) is 100
    tranche: Annotated[float, msgspec.Meta(ge=0.1, le=1000.0)] = 5.0  # in usual orders


class RepeatedWall(Request, tag="wall", frozen=True):
    """Again and again a wall comes within 50 bps of mid, stands for 3 to 8 s and goes untraded."""

    seconds: Length = 60.0
    side: BookSide = "bid"


class Drain(Request, tag="drain", frozen=True):
    """Orders near mid are withdrawn from one side until nearly nothing is left there, and the spread is wide."""

    seconds: Length = 20.0
    side: BookSide = "bid"


class EmptySide(Request, tag="empty_side", frozen=True):
    """Every order of one side is withdrawn."""

    seconds: Length = 10.0
    side: BookSide = "bid"


class Sweep(Request, tag="sweep", frozen=True):
    """One aggressor eats a side to `move_bps` from the touch, more on a coarse grid, and the price stays there."""

    seconds: Length = 5.0
    side: Direction = "buy"
    move_bps: Annotated[float, msgspec.Meta(ge=5.0, le=500.0)] = 60.0


class Squeeze(Request, tag="squeeze", frozen=True):
    """Aggressors eat one side twice a second: the price runs by `move_bps` in all, more on a coarse grid."""

    seconds: Length = 20.0
    side: Direction = "buy"
    move_bps: Annotated[float, msgspec.Meta(ge=20.0, le=1_000.0)] = 200.0


class Withdrawal(Request, tag="withdrawal", frozen=True):
    """Nearly all of one side within `within_bps` is withdrawn at once behind a touch that stands: no price moves."""

    seconds: Length = 20.0
    side: BookSide = "bid"
    within_bps: Annotated[float, msgspec.Meta(ge=20.0, le=500.0)] = 150.0


class FrozenFeed(Request, tag="frozen_feed", frozen=True):
    """The symbol's streams say nothing while its market goes on; what they did not say is lost."""

    seconds: Length = 15.0


class Resync(Request, tag="resync", frozen=True):
    """Depth events are lost on their way, so that clients must load their books again."""

    seconds: Length = 5.0
    frames: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3


AnyRequest = (
    OneSidedFlow
    | UpdateBurst
    | NewsBurst
    | Iceberg
    | RepeatedWall
    | Drain
    | EmptySide
    | Sweep
    | Squeeze
    | Withdrawal
    | FrozenFeed
    | Resync
)
REQUESTS: Final[dict[str, type[AnyRequest]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyRequest)}
NAMES: Final = (*SCENARIOS, *REQUESTS)
_DECODER: Final = msgspec.json.Decoder(AnyRequest | list[AnyRequest])
R = TypeVar("R", bound=Request)


def scenario_of(name: str) -> Scenario:
    """The pace; things that happen do so in a normal market."""
    if name in REQUESTS:
        return SCENARIOS["normal"]
    try:
        return SCENARIOS[name]
    except KeyError:
        raise ConfigError(f"There is no scenario {name!r}; choose one of {', '.join(NAMES)}.") from None


def request_of(name: str, symbol: str, **fields: Any) -> AnyRequest:
    """A request from Python, with the same bounds as one from JSON."""
    if name not in REQUESTS:
        raise ConfigError(f"There is no scenario {name!r} to play; choose one of {', '.join(REQUESTS)}.")
    try:
        return msgspec.convert({"symbol": symbol, "scenario": name, **fields}, REQUESTS[name])
    except msgspec.ValidationError as error:
        raise ConfigError(f"This is not a scenario: {error}.") from None


def parse_requests(body: bytes) -> list[AnyRequest]:
    """One request or a list of them; `ConfigError` with one sentence when the JSON is not that."""
    try:
        parsed = _DECODER.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"This is not a scenario: {error}.") from None
    return parsed if isinstance(parsed, list) else [parsed]


def repeated(name: str, symbol: str) -> AnyRequest | None:
    """What the command line's `--scenario NAME` plays; None for a pace."""
    if name in SCENARIOS:
        return None
    return request_of(name, symbol, after=FIRST_AFTER_S, every=AGAIN_EVERY_S)


def announcement(request: AnyRequest) -> str:
    """One sentence on what will happen."""
    begins = f"begins after {request.after:g} s" if request.after else "begins at once"
    lasts = f"lasts {request.seconds:g} s"
    again = f" and begins again every {request.every:g} s" if request.every else ""
    return f"Scenario {request.name} in {request.symbol}: {begins}, {lasts}{again}"


def mirrored(request: R) -> R:
    """The same on the other side."""
    side = getattr(request, "side", None)
    if side is None:
        return request
    other = {"bid": "ask", "ask": "bid", "buy": "sell", "sell": "buy"}[side]
    return msgspec.structs.replace(request, side=other)
