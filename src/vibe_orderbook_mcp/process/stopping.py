"""Signals that ask this process to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from vibe_orderbook_mcp.process import stderr


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, SIGINT, and SIGHUP (the terminal was closed) unless the parent ignores it (`nohup`)."""
    signals = [signal.SIGTERM, signal.SIGINT]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signals.append(hangup)
    return tuple(signals)


def on_stop(call: Callable[[], object]) -> None:
    """Call the function in the running loop at each signal to stop."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises; everything else kills
            loop.add_signal_handler(number, call)


def leave_when_told(before_exit: Callable[[], None] | None = None) -> None:
    """During the start of a server a signal to stop ends the process with code 0.

    Nothing is open yet that must be closed, and an exception could end in a module that is being imported. Servers
    replace these handlers by their own.
    """

    def leave(_: int, __: FrameType | None) -> None:
        if before_exit is not None:
            before_exit()
        stderr.drain()
        os._exit(0)

    if threading.current_thread() is threading.main_thread():  # no other may set them
        for number in stop_signals():
            signal.signal(number, leave)
