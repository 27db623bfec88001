"""The one error tree.

    VibeError
    ├── ConfigError            a setting cannot be used; the process does not start
    ├── Refusal                a tool cannot answer; carries the code and hint a client gets
    ├── ExchangeError
    │   ├── ExchangeUnavailable   unreachable, 5xx, timed out, or refusing this address
    │   ├── RateLimited           429 or 418; carries how long to wait
    │   └── SymbolUnknown         the exchange does not list the symbol
    ├── InexactSymbol          a symbol's numbers do not fit a double exactly
    └── StorageError
        ├── StorageLocked      another process records into this directory
        ├── NothingRecorded    the directory has no history
        ├── WritingPaused      the disk is nearly full, or the directory is not writable; nothing is stuck
        ├── DiskFull           the disk or the quota is used up; the database has to be opened again
        ├── PlaceGone          the data directory was removed or replaced while it was in use
        └── StorageCorrupt     a record or file cannot be read back
            └── Damaged        files of the database are missing or not what they were

Errors carry the values that broke the rule, so that callers and tests compare values and not text.
"""

from __future__ import annotations

from typing import Literal

RefusalCode = Literal[
    "invalid_argument",
    "symbol_not_found",
    "symbol_limit_reached",
    "syncing",
    "insufficient_historical_data",
    "exchange_unavailable",
    "storage_error",
]


class VibeError(Exception):
    """Everything this program raises on purpose."""


class ConfigError(VibeError):
    """A setting cannot be used. The message names the variable, its value and what is allowed."""


class Refusal(VibeError):
    """A tool cannot answer. The client gets `code`, `message`, `hint` and, where waiting helps, the delay."""

    def __init__(self, code: RefusalCode, message: str, hint: str, *, retry_after_secs: float | None = None) -> None:
        super().__init__(message)
        self.code: RefusalCode = code
        self.message = message
        self.hint = hint
        self.retry_after_secs = retry_after_secs
        self.is_passing = True  # whether the delay is known; False: a guess, because an event must happen first
        self.meanwhile: object = None  # an answer from the present data, for a caller that has waited long enough


class ExchangeError(VibeError):
    """The exchange did not answer the request."""


class ExchangeUnavailable(ExchangeError):
    """Unreachable, failing, timed out, or refusing this address. `status` is the HTTP status, if there was one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RateLimited(ExchangeError):
    """429 or 418: no request before `retry_after_secs` have passed."""

    def __init__(self, message: str, *, retry_after_secs: float, status: int = 429) -> None:
        super().__init__(message)
        self.retry_after_secs = retry_after_secs
        self.status = status


class SymbolUnknown(ExchangeError):
    """The exchange does not list this symbol."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"The exchange does not list {symbol!r}.")
        self.symbol = symbol


class InexactSymbol(VibeError):
    """A symbol whose prices or sizes need more than 15 significant digits: a double would round them."""

    def __init__(self, symbol: str, what: str, digits: int) -> None:
        super().__init__(f"{symbol}: {what} may need {digits} significant digits; 15 are exact.")
        self.symbol = symbol
        self.what = what
        self.digits = digits


class StorageError(VibeError):
    """History could not be read or written."""


class StorageLocked(StorageError):
    """Another process has the data directory open for writing."""


class NothingRecorded(StorageError):
    """The directory has no history. `found` describes the path: it `is empty`."""

    def __init__(self, found: str) -> None:
        super().__init__(f"Nothing has been recorded: the data directory {found}.")
        self.found = found


class WritingPaused(StorageError):
    """Refused before any write: writing can resume as soon as the reason has ended."""


class StorageCorrupt(StorageError):
    """Stored bytes cannot be decoded."""


class DiskFull(StorageError):
    """No space left. RocksDB stays stuck after space was made: re-open."""


class PlaceGone(StorageError):
    """The directory was removed or replaced: writes since then are lost, and further writes would be too."""


class Damaged(StorageCorrupt):
    """Files of the database are missing or changed: an error of RocksDB itself, not of one record."""
