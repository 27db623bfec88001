"""Names of instruments as people, models and other programs write them. PURE

`btc/usdt`, `BTC-USDT`, `"BTCUSDT"` and `binance:BTCUSDT` are one instrument. This is the one place that reads such
text, of tools, settings and commands alike; `Instrument.name` is the one that prints it. Names of venues and markets
that are not kept are recognised, so that a refusal can say what they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple

from vibe_orderbook_mcp.model.errors import VibeError
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, KEPT_VENUES, VENUES, Instrument
from vibe_orderbook_mcp.model.listed import Listing
from vibe_orderbook_mcp.model.symbol import LONGEST_SYMBOL

# Venues by the names that people and charting programs give them.
_VENUE_WORDS: Final[dict[str, str]] = {**{name: name for name in VENUES}, "binanceus": "binance-us"}
_PLAIN_VENUE: Final = re.compile(r"[a-z0-9-]{1,24}")

# Marks of a perpetual: charting programs write BTCUSDT.P, exchanges BTC-PERP and BTC-USDT-SWAP, ccxt BTC/USDT:USDT.
# Kraken's begin with PF_ or PI_, and futures end with their day.
_PERPETUAL: Final = re.compile(
    r"^[PF][FI]_(?=[A-Z]{6})|(?:\.P|[-_/ ]?PERP(?:ETUAL)?|[-_/ ]SWAP|[-_](?:[0-9]{6}|[0-9]{1,2}[A-Z]{3}[0-9]{2}))$"
)
_SETTLED: Final = re.compile(r"^([^:]+[-_/][^:]+):[A-Z0-9]+(?:-[0-9]{6})?$")

# Invisible and harmless: they come with text that was copied from a page or a chat.
_UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff"))
_AROUND: Final = " \t\r\n\u00a0\u2007\u202f\u3000\"'`´‘’‚“”„«»‹›()[]$#"
_SEPARATORS: Final = "/-_ \t\r\n\u00a0\u2007\u202f\u3000"

# Assets by the names that people give them.
_ASSETS: Final[dict[str, str]] = {
    "XBT": "BTC",
    "BITCOIN": "BTC",
    "ETHEREUM": "ETH",
    "ETHER": "ETH",
    "SOLANA": "SOL",
    "RIPPLE": "XRP",
    "DOGECOIN": "DOGE",
    "CARDANO": "ADA",
    "LITECOIN": "LTC",
    "POLKADOT": "DOT",
    "CHAINLINK": "LINK",
    "AVALANCHE": "AVAX",
    "TRON": "TRX",
    "TONCOIN": "TON",
    "SHIBAINU": "SHIB",
    "BITCOINCASH": "BCH",
}
# A quote asset that people write -> those that the venue may list instead.
_QUOTES: Final[dict[str, tuple[str, ...]]] = {"USD": ("USDT", "USDC", "FDUSD"), "": ("USDT", "USDC", "FDUSD", "USD")}
_QUOTES_ELSEWHERE: Final = ("USD", "USDT", "USDC", "EUR")
_DOLLARS: Final = ("FDUSD", "TUSD", "BUSD", "USDT", "USDC", "USD")
_OTHER_QUOTES: Final = ("BTC", "ETH", "BNB", "EUR", "TRY")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LIKENESS: Final = 0.72
_SUGGESTED_MOST: Final = 3


class Name(NamedTuple):
    """The parts of a written name. `venue` is None for an unknown one."""

    venue: str | None
    symbol: str  # upper case, without separators
    is_perpetual: bool = False
    written: str = ""  # the symbol with its separators, in upper case


class NameRefused(VibeError):
    """A text that names no instrument of this server. The message is one sentence, `hint` what to write instead.

    `is_malformed`: it can be no instrument's name; else it may be one, but not here.
    """

    def __init__(self, message: str, hint: str, *, is_malformed: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.is_malformed = is_malformed


def read_instrument(text: str, kept: Collection[str] = KEPT_VENUES) -> Instrument:
    """The instrument that somebody wrote. `kept` are the venues that can be asked for. Raises NameRefused.

    On the default venue separators are dropped, as its symbols have none. Elsewhere they are kept: the venue's list
    tells which of its symbols is meant.
    """
    name = read_name(text)
    if name is None:
        raise NameRefused(
            f"symbol must be a trading pair of 1 to {LONGEST_SYMBOL} letters and digits.",
            'Pass a spot symbol such as "BTCUSDT"; "btc/usdt" and "BTC-USDT" are understood too.',
            is_malformed=True,
        )
    *others, last = sorted(kept)
    venues = f"{', '.join(others)} and {last}" if others else last
    if name.venue is None:
        said = _venue_word(text.partition(":")[0])
        what = f"with {said}, which is not a venue" if _PLAIN_VENUE.fullmatch(said) else "with a name of no venue"
        raise NameRefused(
            f"symbol begins {what} that this server knows; it keeps books of {venues}.",
            f'Leave the venue out, or write "{DEFAULT_VENUE}:BTCUSDT".',
            is_malformed=True,
        )
    if name.venue not in kept:
        raise NameRefused(
            f"{name.venue} ({VENUES[name.venue]}) is not among the venues of this server yet; it keeps books of "
            f"{venues}.",
            f"Ask for the pair on {VENUES[DEFAULT_VENUE]}, such as {DEFAULT_VENUE}:BTCUSDT.",
        )
    if name.venue != DEFAULT_VENUE:
        return Instrument(name.venue, name.written)
    if name.is_perpetual:
        raise NameRefused(
            f"{VENUES[DEFAULT_VENUE]} lists spot pairs only; perpetuals and other futures are not among the markets "
            "of this server yet.",
            f"Did you mean the spot pair {spot_of(name.symbol)}?",
        )
    return Instrument(DEFAULT_VENUE, name.symbol)


def read_instruments(texts: Iterable[str], kept: Collection[str] = KEPT_VENUES) -> tuple[Instrument, ...]:
    """Each instrument once, in the order of `texts`. Raises NameRefused; of none too."""
    found = tuple(dict.fromkeys(read_instrument(text, kept) for text in texts))
    if not found:
        raise NameRefused("no symbol is named.", 'Pass symbols such as "BTCUSDT,ETHUSDT".', is_malformed=True)
    return found


@lru_cache(maxsize=1024)  # clients ask for the same few again and again
def read_name(text: str) -> Name | None:
    """None where no instrument can have such a name."""
    if len(text) > 4 * LONGEST_SYMBOL:
        return None
    text = unicodedata.normalize("NFKC", text.translate(_UNSEEN)).strip(_AROUND).upper()
    venue: str | None = DEFAULT_VENUE
    prefix, colon, rest = text.partition(":")
    named = _VENUE_WORDS.get(_venue_word(prefix))
    if colon and (named is not None or _SETTLED.match(text) is None):
        venue, text = named, rest.strip(_AROUND)
    written = "".join(text.split())
    settled = _SETTLED.match(text)
    if settled is not None:
        text = settled[1]
    bare = _PERPETUAL.sub("", text) or text
    is_perpetual = settled is not None or bare != text
    symbol = "".join(part for part in bare if part not in _SEPARATORS)
    if not symbol.isalnum() or len(symbol) > LONGEST_SYMBOL:
        return None
    return Name(venue, symbol, is_perpetual, written)


def _venue_word(text: str) -> str:
    return text.strip(_AROUND).lower().replace("_", "-")


def pair_of(asset: str, listing: Listing, quotes: Iterable[str] = _QUOTES[""]) -> str | None:
    """The pair of a bare asset: its listed one with the first of these quote assets."""
    asset = _ASSETS.get(asset, asset)
    return next((pair for quote in quotes if (pair := listing.pair(asset, quote)) is not None), None)


def listed_symbol(instrument: Instrument, listing: Listing) -> str | None:
    """The venue's symbol of what somebody wrote: in another spelling, or as a bare asset."""
    if instrument.venue == DEFAULT_VENUE:
        return pair_of(instrument.symbol, listing)
    spelled = listing.spelled(instrument.symbol)
    return pair_of(instrument.symbol, listing, _QUOTES_ELSEWHERE) if spelled is None else spelled


def suggestions(symbol: str, listing: Listing) -> list[str]:
    """Listed symbols that somebody who wrote `symbol` may have meant, the likeliest first."""
    found = [name for name in _rewritten(symbol) if name in listing]
    if (pair := pair_of(symbol, listing)) is not None:
        found.append(pair)
    if not found:  # the base asset is there with another quote asset
        bases = [symbol[:end] for end in range(len(symbol) - 1, 1, -1) if symbol[:end] in listing.base_assets]
        found = [pair for base in bases[:1] if (pair := pair_of(base, listing)) is not None]
    if not found:
        found = [name for name in _misspelt(symbol) if name in listing]
    if not found:  # of all that are listed it would take a tenth of a second
        near = [name for name in listing.names if name[:2] == symbol[:2] and abs(len(name) - len(symbol)) <= 2]
        found = get_close_matches(symbol, near, n=_SUGGESTED_MOST, cutoff=_LIKENESS)
    return list(dict.fromkeys(found))[:_SUGGESTED_MOST]


def spot_of(contract: str) -> str:
    """The spot pair beside a perpetual or a future, which may be written as its asset alone: XBTUSD and BTC are
    BTCUSDT."""
    quotes = [quote for quote in _DOLLARS if contract.endswith(quote) and contract != quote]
    if not quotes:
        is_pair = any(contract.endswith(other) and contract != other for other in _OTHER_QUOTES)
        return contract if is_pair else _ASSETS.get(contract, contract) + "USDT"
    quote = next((quote for quote in quotes if contract.removesuffix(quote) in _ASSETS), quotes[0])
    base = contract.removesuffix(quote)
    return _ASSETS.get(base, base) + ("USDT" if quote == "USD" else quote)


def _misspelt(symbol: str) -> Iterable[str]:
    """The symbol with one slip undone, the commonest kinds first: two letters swapped, one too many, too few, wrong."""
    cuts = [(symbol[:place], symbol[place:]) for place in range(len(symbol) + 1)]
    yield from (left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1)
    yield from (left + right[1:] for left, right in cuts if right)
    yield from (left + letter + right for left, right in cuts for letter in _LETTERS)
    yield from (left + letter + right[1:] for left, right in cuts if right for letter in _LETTERS)


def _rewritten(symbol: str) -> Iterable[str]:
    """The symbol with the exchange's names of its assets."""
    for name, asset in (*_ASSETS.items(), ("", "")):
        if not symbol.startswith(name):
            continue
        rest = symbol.removeprefix(name)
        for quote, others in _QUOTES.items():
            if rest.endswith(quote) and (quote or not asset):
                base = asset + rest.removesuffix(quote)
                yield from (base + other for other in (quote, *others) if base)
        if asset:
            yield asset + rest
