"""Reads the exchange's refusals: the time to wait, and the error. Pure: the clock is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isnan

import msgspec

TOO_MANY_REQUESTS, BANNED = 429, 418
USUAL_WAIT_SECS = {TOO_MANY_REQUESTS: 60.0, BANNED: 120.0}
# The exchange's longest ban. A longer delay is an error of a proxy.
LONGEST_WAIT_SECS = 3 * 86_400.0
TOO_MUCH_WEIGHT = -1003
_UNTIL = re.compile(r"banned until ([0-9]{12,15})", re.IGNORECASE | re.ASCII)
# Two clocks that differ by less agree: the header `Date` has whole seconds only.
SAME_CLOCK_SECS = 2.0


class RefusalBody(msgspec.Struct):
    """The body of a refusal."""

    code: int | None = None
    msg: object = ""


def parse_reply(body: bytes) -> RefusalBody:
    """Without a code for a body that is not the exchange's own."""
    try:
        return msgspec.json.decode(body, type=RefusalBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return RefusalBody()


def wait_secs(status: int, headers: Mapping[str, str], reply: RefusalBody, wall_secs: float) -> float | None:
    """How long no request may be sent, at least 1 s; None if the answer demands no pause.

    Signs of a ban are status 418, `Retry-After` (seconds, or a date) and the text of error -1003 ("banned until
    <milliseconds since the epoch>"). The longest one counts. `wall_secs` is this machine's time; if it differs from the
    answer's own `Date`, that date counts.
    """
    if (now_secs := _date_secs(headers.get("Date", ""))) is None or abs(now_secs - wall_secs) < SAME_CLOCK_SECS:
        now_secs = wall_secs
    until = _UNTIL.search(str(reply.msg)) if reply.code == TOO_MUCH_WEIGHT else None
    if until is None and status not in USUAL_WAIT_SECS:
        return None
    waits = [_retry_after_secs(headers.get("Retry-After", ""), now_secs)]
    if until is not None:
        waits.append(until_secs if (until_secs := int(until[1]) / 1000 - now_secs) > 0 else None)
    told = [min(LONGEST_WAIT_SECS, max(1.0, wait)) for wait in waits if wait is not None]
    return max(told, default=USUAL_WAIT_SECS.get(status, USUAL_WAIT_SECS[TOO_MANY_REQUESTS]))


def _retry_after_secs(text: str, now_secs: float) -> float | None:
    """None for an unusable value, such as a date in the past."""
    try:
        secs = float(text)
    except ValueError:
        date_secs = _date_secs(text)
        return None if date_secs is None or date_secs <= now_secs else date_secs - now_secs
    return None if isnan(secs) else secs


def _date_secs(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
