"""The messages a client may send on a stream connection, and the documented answers. PURE.

The wording of the errors is the exchange's ("Error Messages" in web-socket-streams.md), with columns if they are known.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_STREAMS: Final = 1024
METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_TEXT_ID: Final = re.compile(r"[A-Za-z0-9_-]{0,36}")


class Refused(Exception):
    """The request gets an error answer."""

    def __init__(self, code: int, message: str, *, with_id: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.with_id = with_id


class Subscriptions:
    """What one connection listens to, and how it wants it wrapped."""

    def __init__(self, streams: list[str], *, combined: bool) -> None:
        self.streams: dict[str, None] = dict.fromkeys(streams)
        self.combined = combined

    def answer(self, text: str) -> bytes:
        """Carry out one message and word the answer."""
        request_id: Any = None
        try:
            request = _parse(text)
            request_id = _id_of(request)
            return _dump({"result": self._carry_out(request, len(text)), "id": request_id})
        except Refused as refused:
            body: dict[str, Any] = {"code": refused.code, "msg": refused.message}
            if refused.with_id:
                body["id"] = request_id
            return _dump(body)

    def _carry_out(self, request: dict[str, Any], length: int) -> Any:
        if "method" not in request:
            raise Refused(2, f"Invalid request: missing field `method` at line 1 column {length}")
        method, params = request["method"], request.get("params")
        if method not in METHODS:
            expected = ", ".join(f"`{name}`" for name in METHODS)
            raise Refused(
                2, f"Invalid request: unknown variant `{method}`, expected one of {expected} at line 1 column 28"
            )
        if method == "LIST_SUBSCRIPTIONS":
            if params:
                raise Refused(2, "Invalid request: too many parameters")
            return list(self.streams)
        if not isinstance(params, list):
            raise Refused(2, f"Invalid request: missing field `params` at line 1 column {length}")
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method, params)
        if not all(isinstance(name, str) for name in params):
            raise Refused(2, "Invalid request: stream name must be a string")
        if method == "UNSUBSCRIBE":
            for name in params:
                self.streams.pop(name, None)
            return None
        if len(self.streams | dict.fromkeys(params)) > MAX_STREAMS:
            raise Refused(2, f"Invalid request: a connection may listen to at most {MAX_STREAMS} streams")
        self.streams.update(dict.fromkeys(params))
        return None

    def _property(self, method: str, params: list[Any]) -> bool | None:
        if not params or not isinstance(params[0], str):
            raise Refused(2, "Invalid request: property name must be a string")
        if len(params) > (2 if method == "SET_PROPERTY" else 1):
            raise Refused(2, "Invalid request: too many parameters")
        if params[0] != "combined":
            raise Refused(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < 2 or not isinstance(params[1], bool):
            raise Refused(1, "Invalid value type: expected Boolean", with_id=False)
        self.combined = params[1]
        return None


def _parse(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        problem = f"Invalid JSON: expected value at line {line} column {column}"
        raise Refused(3, problem, with_id=False) from None
    if not isinstance(request, dict):
        raise Refused(2, "Invalid request: expected an object", with_id=False)
    return request


def _id_of(request: dict[str, Any]) -> int | str | None:
    value = request.get("id")
    fits = (isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63) or (
        isinstance(value, str) and _TEXT_ID.fullmatch(value) is not None
    )
    if value is None or fits:
        return value
    raise Refused(2, "Invalid request: request ID must be an unsigned integer", with_id=False)


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
