"""The interface of history: all code that stores or reads it uses `History`.

Writes run on one thread, reads on another, both in small pieces. So the event loop never waits for a disk, and waits
for the GIL at most for one piece. Windows are half-open: `start` is inside, `end` is not.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from loguru import logger

from vibe_orderbook_mcp.model.errors import PlaceGone, StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord, StoredEvent, TradeBatch
from vibe_orderbook_mcp.store import reader, rescue
from vibe_orderbook_mcp.store.disk.layout import FAMILIES, Layout
from vibe_orderbook_mcp.store.disk.lock import is_held
from vibe_orderbook_mcp.store.disk.place import Place, directory_bytes, free_bytes
from vibe_orderbook_mcp.store.disk.rocks import Database
from vibe_orderbook_mcp.store.disk.secondary import Secondary
from vibe_orderbook_mcp.store.disk.view import View
from vibe_orderbook_mcp.store.plan import AppendResult
from vibe_orderbook_mcp.store.reading import Ask
from vibe_orderbook_mcp.store.rescue import Rescue
from vibe_orderbook_mcp.store.retention import retain
from vibe_orderbook_mcp.store.summing import HistoryView, Summing
from vibe_orderbook_mcp.store.window_sums import WindowSums
from vibe_orderbook_mcp.store.writer import Writer

T = TypeVar("T")

TRADES_A_BATCH: Final = 2000
RETAIN_EVERY_SECS: Final = 3600
DRAIN_SECS: Final = 2.0  # time for running questions before the database is closed and opened again


class Stats(msgspec.Struct, frozen=True):
    """The state of the store. Sizes in bytes."""

    disk_bytes: int  # of the whole directory, which the cap limits
    cap_bytes: int
    free_bytes: int  # of the file system
    families: dict[str, int]  # table files of each column family


class History(Summing):
    """Open with `History.open` for writing, or with `History.open_secondary` to read while another process writes."""

    def __init__(self, path: Path, layout: Layout, *, writable: bool) -> None:
        super().__init__(WindowSums(), {})
        self.path = path
        self.layout = layout
        self.writable = writable
        self._database: Database | None = None
        self._writer: Writer | None = None
        self._secondary: Secondary | None = None
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="history-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="history-read")
        self._reading = threading.Lock()  # locked by every read, and by a closing of the database
        self._moments = 0  # running questions
        self._unread = asyncio.Event()  # set without a running question
        self._unread.set()
        self._may_read = asyncio.Event()  # cleared while the database waits to be opened again
        self._may_read.set()
        self._closed = False
        self._place: Place | None = None
        self.damage: str | None = None  # damage met by a read; other parts of history are readable
        self._retained: int | None = None  # the newest hour for which `seal` has called `retain`

    # --- open and close
    # ---------------------------------------------------------------------------------------------------

    @classmethod
    async def open(cls, path: str | os.PathLike[str], *, cap_mb: int, retention_days: float) -> History:
        """For writing; one process at a time. Raises `StorageLocked`, `StorageCorrupt` or `StorageError`."""
        history = cls(Path(path), Layout(cap_mb=cap_mb, retention_days=retention_days), writable=True)
        return await history._start()

    @classmethod
    async def open_secondary(cls, path: str | os.PathLike[str]) -> History:
        """For reading, with or without a process that writes there. Every call sees all earlier writes."""
        return await cls(Path(path), Layout(cap_mb=0, retention_days=0), writable=False)._start()

    @staticmethod
    async def rescue(
        path: str | os.PathLike[str], *, cap_mb: int, retention_days: float, opens: bool = False
    ) -> Rescue:
        """After `Damaged`: set all files aside unchanged, and replace them by a copy of the readable part.

        `opens`: `Damaged` came after the opening. Close history before, and open it again afterwards. Raises
        StorageError if the directory was not touched.
        """
        layout = Layout(cap_mb=cap_mb, retention_days=retention_days)
        return await asyncio.to_thread(rescue.rescue, Path(path), layout, datetime.now(UTC), opens=opens)

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process has the directory open for writing. Does not open it."""
        return is_held(path)

    @staticmethod
    def reserve_bytes(*, cap_mb: int, retention_days: float) -> int:
        """Free bytes of the file system below which writing pauses."""
        return Layout(cap_mb, retention_days).reserve_bytes

    @staticmethod
    async def free_bytes(path: Path) -> int:
        """Free bytes of the file system of a directory, existing or not. Raises OSError."""
        return await asyncio.to_thread(free_bytes, path)

    async def _start(self) -> History:
        try:
            await self._on_write_thread(self._open_database)
        except BaseException:
            self._write_thread.submit(self._close_database)  # a cancelled caller did not wait for the opening
            self._shut_threads()
            raise
        return self

    def _open_database(self) -> None:
        if not self.writable:
            self._secondary = Secondary(self.path)
            return
        rescue.finish(self.path, datetime.now(UTC))
        database = Database.open(self.path, self.layout)
        try:
            writer = Writer(database)
            # Before the age limits are set: seconds that were not sealed when the last process ended may be old.
            for symbol in reader.symbols(database):
                try:
                    reader.seal_complete(database, writer, symbol)
                except StorageCorrupt as error:  # new data is worth more than the damaged part
                    logger.warning("Trades of {} from before the start cannot be sealed: {}", symbol, error)
            database.set_limits(self.layout)
        except BaseException:
            database.close()
            raise
        self._database, self._writer = database, writer
        self._place = Place(self.path, self.layout.reserve_bytes)

    async def reopen(self) -> None:
        """Close everything and open again, which helps after a failed write. Raises like `open`."""
        if self._closed:
            raise StorageError("History is closed.")
        self._may_read.clear()
        try:
            with suppress(TimeoutError):  # a longer read must be repeated
                async with asyncio.timeout(DRAIN_SECS):
                    await self._unread.wait()
            await self._on_write_thread(self._reopen_database)
        finally:
            self._may_read.set()

    def _reopen_database(self) -> None:
        with self._reading:
            self._close_database()
            self._open_database()
        self.damage = None

    async def close(self) -> None:
        """Waits for running calls. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._write_thread, self._finish)
        finally:
            self._shut_threads()

    def _finish(self) -> None:
        with self._reading:
            database = self._database
            if database is not None and database.writable:
                try:
                    database.flush_wal(sync=True)  # into the open files, at their present path
                except StorageError as error:
                    logger.warning("The last seconds of history may not have reached the disk: {}", error)
            self._close_database()

    def _close_database(self) -> None:
        database, self._database, self._writer = self._database, None, None
        secondary, self._secondary = self._secondary, None
        if secondary is not None:
            secondary.close()
        if database is not None:
            if self._is_replaced():
                database.abandon()
            else:
                database.close()

    def _is_replaced(self) -> bool:
        """Whether a write now would go to a directory that replaced the opened one."""
        try:
            if self._place is not None:
                self._place.check()
        except PlaceGone:
            return True
        except (StorageError, OSError):
            return False
        return False

    def _shut_threads(self) -> None:
        self._write_thread.shutdown(wait=False)
        self._read_thread.shutdown(wait=False)

    # --- writing ------------------------------------------------------------------------------------------------

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        """Store a second of every symbol and the trades that came with it, all or nothing.

        A second is written once: a stored one is skipped and counted. Trades with stored ids are skipped.
        """
        return await self._write(lambda writer: writer.append(seconds, trades))

    async def add_trades(self, batch: TradeBatch) -> AppendResult:
        """Merge trades of any age, in any order, known or not."""
        stored = skipped = 0
        name = batch.spec.symbol
        for start in range(0, len(batch.trades), TRADES_A_BATCH):
            part = msgspec.structs.replace(batch, trades=batch.trades[start : start + TRADES_A_BATCH])
            result = await self._write(partial(Writer.add_trades, batch=part))
            if result.failed:
                return msgspec.structs.replace(result, trades={name: stored}, skipped_trades={name: skipped})
            stored += result.trades.get(name, 0)
            skipped += result.skipped_trades.get(name, 0)
        return AppendResult(trades={name: stored}, skipped_trades={name: skipped})

    async def seal(self, symbol: str, before_ms: int) -> int:
        """Put complete minutes that ended before `before_ms` into blocks. Returns their number. Call it once a
        minute."""
        minutes = 0
        while await self._write(lambda writer: writer.seal_minute(symbol, before_ms)):
            minutes += 1
        if minutes:
            async with self._moment() as ask:
                sealed = await ask(reader.sealed, symbol)  # not `before_ms`: a clock that jumps must not delete history
            if sealed // RETAIN_EVERY_SECS != self._retained:
                self._retained = sealed // RETAIN_EVERY_SECS
                await self.retain(sealed)
        return minutes

    async def retain(self, now_sec: int) -> None:
        """Delete roll-ups and baselines beyond their age or share. `seal` calls it once an hour."""
        await self._write(lambda writer: retain(self._open(), writer, self.layout, now_sec))

    async def verify_ids(self, symbol: str) -> list[Interval]:
        """Walk the stored trades and remove the ids of dropped ones. Returns those ids.

        Cap and age drop whole files, oldest written first. Late fills are written late, so they can outlive newer
        trades, and until this call some ids have no trade. Once a day is enough.
        """
        if gone := await self.gone_ids(symbol):
            await self._write(lambda writer: writer.disown_ids(symbol, gone))
        return gone

    async def put_events(self, symbol: str, events: Sequence[StoredEvent]) -> None:
        """Store findings; one with the same start and type replaces the stored one."""
        await self._write(lambda writer: writer.put_events(symbol, events))

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        """Store an hour's baseline, or a newer state of it. Content and version are the caller's."""
        await self._write(lambda writer: writer.put_baseline(symbol, hour_sec, data))

    async def forget(self, symbol: str) -> None:
        """No more data comes for the symbol now. Its stored data stays."""

        def forget(writer: Writer) -> None:
            writer.forget(symbol)
            with self._reading:
                self._window_sums.forget(symbol)
                self._places.pop(symbol, None)

        await self._write(forget)

    async def flush(self, *, sync: bool = True) -> None:
        """Make written data survive a power failure. A killed process loses nothing without it."""
        await self._on_write_thread(lambda: self._open().flush_wal(sync=sync))

    async def check_place(self) -> None:
        """Check that writing is possible now. Raises WritingPaused or PlaceGone."""
        await self._on_write_thread(self._check_place)

    def _check_place(self) -> None:
        if self._place is not None:
            self._place.check()

    async def _write(self, work: Callable[[Writer], T]) -> T:
        return await self._on_write_thread(lambda: self._writing(work))

    def _writing(self, work: Callable[[Writer], T]) -> T:
        self._open()
        if self._writer is None:
            raise StorageError("History was opened for reading only.")
        self._check_place()
        return work(self._writer)

    # --- state --------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Cheap enough for every request: it stats a few dozen files."""
        families: dict[str, int] = {}
        database = self._database if self._secondary is None else self._secondary.database
        if database is not None:
            try:
                families = {name: database.property(name, "rocksdb.total-sst-files-size") for name in FAMILIES}
            except StorageError:
                families = {}
        return Stats(
            disk_bytes=directory_bytes(self.path),
            cap_bytes=self.layout.cap_bytes,
            free_bytes=free_bytes(self.path),
            families=families,
        )

    # --- reading ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def view(self) -> AsyncIterator[HistoryView]:
        """For questions of several calls: all reads see the moment of the first call."""
        async with self._moment() as ask:
            yield HistoryView(ask, self._window_sums, self._places)

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Ask]:
        view: View | None = None

        def on_thread(work: Callable[..., T], *args: object) -> T:
            nonlocal view
            with self._reading:
                is_first = view is None
                try:
                    if view is None:
                        view = self._fresh().view()
                    return work(view, *args)
                except StorageError as error:
                    if self._secondary is None or not is_first:
                        self._note_failure(error)
                        raise
                    # Next to a recorder this may be a replaced database: use the present one.
                    self._secondary.doubt()
                try:
                    view = self._fresh().view()
                    return work(view, *args)
                except StorageError as error:
                    self._note_failure(error)
                    raise

        async def ask(work: Callable[..., T], *args: object) -> T:
            return await self._submit(self._read_thread, lambda: on_thread(work, *args))

        while not self._may_read.is_set():  # it may be cleared again before a waiting call runs
            await self._may_read.wait()
        self._moments += 1
        self._unread.clear()
        try:
            yield ask
        finally:
            self._moments -= 1
            if self._moments == 0:
                self._unread.set()
            if view is not None:
                with suppress(RuntimeError):  # its thread has ended, and the view with it
                    self._read_thread.submit(view.close)

    def _note_failure(self, error: StorageError) -> None:
        if self._secondary is not None:
            self._secondary.doubt()
        if isinstance(error, StorageCorrupt):
            self.damage = str(error)

    def _fresh(self) -> Database:
        """For reading, with all data written so far."""
        if self._secondary is None:
            return self._open()
        before = self._secondary.opened
        database = self._secondary.fresh()
        if self._secondary.opened != before:
            self.damage = None
        return database

    # --- threads ------------------------------------------------------------------------------------------------

    def _open(self) -> Database:
        """For writing."""
        if self._database is None:
            raise StorageError("History is closed." if self.writable else "History was opened for reading only.")
        return self._database

    async def _on_write_thread(self, work: Callable[[], T]) -> T:
        return await self._submit(self._write_thread, work)

    async def _submit(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageError("History is closed.")
        return await asyncio.get_running_loop().run_in_executor(thread, work)
