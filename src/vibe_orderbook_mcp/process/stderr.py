"""Standard error that never blocks its writers.

A pipe without a reader, a terminal stopped with Ctrl-S and a full disk block every writer. So a thread writes, from a
bounded queue. Lines that do not fit are dropped and counted. When the reader reads again, one line gives the count.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

# Some 8,000 lines: minutes of twenty symbols.
QUEUE_BYTES = 1024 * 1024
# At the end of the process: how long to wait for a reader that does not read, and for a slow one.
STALLED_SECS, CLOSE_SECS = 0.5, 2.0
PIECE_BYTES = 64 * 1024


class Lines(io.TextIOBase):
    """A text stream that replaces `sys.stderr`. `write` returns at once; a daemon thread writes to `fd`.

    `say_dropped(lines, secs)`, if set, is called from that thread after the first write that succeeds again: the number
    of dropped lines, and the age of the first. It may write here.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, queue_bytes: int = QUEUE_BYTES) -> None:
        super().__init__()
        self.say_dropped: Callable[[int, float], None] | None = None
        self._fd = fd
        self._queue_bytes = queue_bytes
        # Reentrant: a destructor may write while this thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0  # in the queue and in the thread
        self._is_dropping = False
        self._unsaid = 0  # lines that were dropped
        self._unsaid_since = 0.0  # a monotonic second
        self._is_closing = False
        self.dropped = 0  # lines, since the start
        self._thread = threading.Thread(target=self._write_forever, name="stderr", daemon=True)
        self._thread.start()

    def write(self, text: str, /) -> int:
        data = text.encode(self.encoding, self.errors)
        with self._changed:
            self._is_dropping = self._is_dropping or self._waiting_bytes + len(data) > self._queue_bytes
            if self._is_dropping:  # until the queue is empty, so that the count is one line
                self._drop(data)
            else:
                self._waiting_bytes += len(data)
                self._queue.append(data)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Does nothing and does not wait: libraries flush after every line. See `drain`."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def drain(self, stalled_secs: float = STALLED_SECS, most_secs: float = CLOSE_SECS) -> bool:
        """Wait until everything is written, while the reader still reads. False if lines are left."""
        end = time.monotonic() + most_secs
        with self._changed:
            while self._waiting_bytes:
                before = self._waiting_bytes
                wait_secs = min(stalled_secs, end - time.monotonic())
                if wait_secs <= 0:
                    return False
                if not self._changed.wait_for(lambda seen=before: self._waiting_bytes != seen, wait_secs):  # type: ignore[misc]
                    return False
        return True

    def finish(self) -> None:
        """Drain, and end the thread unless it is stuck."""
        self.drain()
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(STALLED_SECS)

    def _drop(self, data: bytes) -> None:
        if not self._unsaid:
            self._unsaid_since = time.monotonic()
        lines = data.count(b"\n")
        self._unsaid += lines
        self.dropped += lines

    def _write_forever(self) -> None:
        while (piece := self._next()) is not None:
            rest = self._write(memoryview(piece))
            unsaid = 0
            with self._changed:
                self._waiting_bytes -= len(piece)
                if rest:
                    self._drop(bytes(rest))
                elif not self._queue:
                    self._is_dropping = False
                    unsaid, self._unsaid = self._unsaid, 0
                self._changed.notify_all()
            if unsaid and self.say_dropped is not None:
                self.say_dropped(unsaid, time.monotonic() - self._unsaid_since)

    def _next(self) -> bytes | None:
        """Waiting text, a piece at a time. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing)
            if not self._queue:
                return None
            piece = bytearray()
            while self._queue and len(piece) < PIECE_BYTES:
                piece += self._queue.popleft()
            return bytes(piece)

    def _write(self, rest: memoryview) -> memoryview:
        """Return text that could not be written."""
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # the descriptor is shared with a program that made it non-blocking
                select.select([], [self._fd], [])
            except OSError:  # the reader has closed, or the disk is full
                break
        return rest


def never_waiting() -> Lines | None:
    """Replace `sys.stderr` by `Lines` and return it. Waiting lines are written when the process exits.

    None if standard error is not a file (as in a test), or is closed.
    """
    if isinstance(sys.stderr, Lines):
        return sys.stderr
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    lines = Lines(fd)
    sys.stderr = lines
    atexit.register(lines.finish)
    return lines


def dropped_lines() -> int:
    """Lines that this process could not write to standard error."""
    return sys.stderr.dropped if isinstance(sys.stderr, Lines) else 0


def drain() -> None:
    """Before the process ends without Python's own exit."""
    if isinstance(sys.stderr, Lines):
        sys.stderr.drain()
