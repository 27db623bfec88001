"""The one door to history: everything that stores or reads what happened comes through `History`.

Writes run on one thread, reads on another, both in small pieces, so the event loop never waits for a disk and
never longer for the GIL than a piece takes. Windows are half-open: `start` belongs to them, `end` does not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from loguru import logger

from vibe_orderbook_mcp.core.rows import SecondRecord, TradeBatch
from vibe_orderbook_mcp.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.store import reader, rescue
from vibe_orderbook_mcp.store.layout import FAMILIES, Layout
from vibe_orderbook_mcp.store.place import Place, free_bytes
from vibe_orderbook_mcp.store.plan import AppendResult
from vibe_orderbook_mcp.store.rescue import Rescue
from vibe_orderbook_mcp.store.retention import retain
from vibe_orderbook_mcp.store.rocks import Database
from vibe_orderbook_mcp.store.summing import Summing
from vibe_orderbook_mcp.store.writer import Writer

T = TypeVar("T")

TRADES_A_BATCH: Final = 2000
RETAIN_EVERY_SECS: Final = 3600


class Stats(msgspec.Struct, frozen=True):
    """How the store is doing. Sizes in bytes."""

    disk_bytes: int  # of the whole directory: the truth that the cap is about
    cap_bytes: int
    free_bytes: int  # of the file system
    families: dict[str, int]  # table files of each column family


class History(Summing):
    """Open with `History.open` for writing, with `History.open_secondary` to read beside a writer."""

    def __init__(self, path: Path, layout: Layout, *, writable: bool) -> None:
        super().__init__()
        self.path = path
        self.layout = layout
        self.writable = writable
        self._database: Database | None = None
        self._writer: Writer | None = None
        self._scratch: Path | None = None
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="history-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="history-read")
        self._reading = threading.Lock()  # held by every read, and by whoever closes the database
        self._closed = False
        self._place: Place | None = None
        self.damage: str | None = None  # what a read met that cannot be read back; other parts of history can
        self._retained: int | None = None  # the hour up to which `seal` has seen to it

    # --- life ---------------------------------------------------------------------------------------------------

    @classmethod
    async def open(cls, path: str | os.PathLike[str], *, cap_mb: int, retention_days: float) -> History:
        """For writing; one process at a time. Raises `StorageLocked`, `StorageCorrupt` or `StorageError`."""
        history = cls(Path(path), Layout(cap_mb=cap_mb, retention_days=retention_days), writable=True)
        return await history._start()

    @classmethod
    async def open_secondary(cls, path: str | os.PathLike[str]) -> History:
        """For reading, whether a process writes there or not. Every call sees what was written before it."""
        return await cls(Path(path), Layout(cap_mb=0, retention_days=0), writable=False)._start()

    @staticmethod
    async def rescue(
        path: str | os.PathLike[str], *, cap_mb: int, retention_days: float, opens: bool = False
    ) -> Rescue:
        """After `Damaged` was raised: all is set aside as it is, and what of it can be read is put in its place.

        By `open`, or later: then it `opens`. Close it before, and open again afterwards. Raises StorageError when the
        directory was left alone.
        """
        layout = Layout(cap_mb=cap_mb, retention_days=retention_days)
        return await asyncio.to_thread(rescue.rescue, Path(path), layout, datetime.now(UTC), opens=opens)

    async def _start(self) -> History:
        try:
            await self._on_write_thread(self._open_database)
        except BaseException:
            self._write_thread.submit(self._close_database)  # whoever was cancelled did not wait for the opening
            self._shut_threads()
            raise
        return self

    def _open_database(self) -> None:
        if not self.writable:
            self._scratch = Path(tempfile.mkdtemp(prefix="vibe-orderbook-"))
            try:
                self._database = Database.open_secondary(self.path, self._scratch)
            except BaseException:
                self._remove_scratch()
                raise
            return
        rescue.finish(self.path, datetime.now(UTC))
        database = Database.open(self.path, self.layout)
        try:
            writer = Writer(database)
            # Before the age limits are set: seconds that were not sealed when the last process ended may be old.
            for symbol in reader.symbols(database):
                try:
                    reader.seal_complete(database, writer, symbol)
                except StorageCorrupt as error:  # what comes now is worth more than what is damaged
                    logger.warning("Trades of {} from before the start stay unsealed: {}", symbol, error)
            database.set_limits(self.layout)
        except BaseException:
            database.close()
            raise
        self._database, self._writer = database, writer
        self._place = Place(self.path, self.layout.reserve_bytes)

    async def reopen(self) -> None:
        """Close whatever is left and open again: what helps after a failed write. Raises as `open` does."""
        if self._closed:
            raise StorageError("History is closed.")
        await self._on_write_thread(self._reopen_database)

    def _reopen_database(self) -> None:
        with self._reading:
            self._close_database()
            self._open_database()
        self.damage = None

    async def close(self) -> None:
        """Waits for what is under way. May be called twice."""
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
                    database.flush_wal(sync=True)
                except StorageError as error:
                    logger.warning("The last seconds of history may not have reached the disk: {}", error)
            self._close_database()

    def _close_database(self) -> None:
        database, self._database, self._writer = self._database, None, None
        if database is not None:
            database.close()
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)

    def _shut_threads(self) -> None:
        self._write_thread.shutdown(wait=False)
        self._read_thread.shutdown(wait=False)

    # --- writing ------------------------------------------------------------------------------------------------

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        """Store a second of every symbol and the trades that came with it, all or nothing.

        A second is written once: one that is stored already is skipped and counted. Trades held by id are skipped.
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
        """Put whole minutes that ended before `before_ms` into blocks; how many they were. Once a minute is right."""
        minutes = 0
        while await self._write(lambda writer: writer.seal_minute(symbol, before_ms)):
            minutes += 1
        if minutes:
            sealed = await self._read(reader.sealed, symbol)  # not `before_ms`: a clock that jumps costs no history
            if sealed // RETAIN_EVERY_SECS != self._retained:
                self._retained = sealed // RETAIN_EVERY_SECS
                await self.retain(sealed)
        return minutes

    async def retain(self, now_sec: int) -> None:
        """Delete roll-ups and baselines that are too old or too many. `seal` does it once an hour."""
        await self._write(lambda writer: retain(self._open(), writer, self.layout, now_sec))

    async def flush(self, *, sync: bool = True) -> None:
        """Make what was written survive a power failure too. A killed process loses nothing without it."""
        await self._on_write_thread(lambda: self._open().flush_wal(sync=sync))

    async def check_place(self) -> None:
        """Whether writing would be allowed now. Raises WritingPaused or PlaceGone."""
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
        """Cheap enough for every request: a look at a few dozen files."""
        families: dict[str, int] = {}
        database = self._database
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

    # --- threads ------------------------------------------------------------------------------------------------

    def _open(self) -> Database:
        if self._database is None:
            raise StorageError("History is closed.")
        return self._database

    async def _read(self, work: Callable[..., T], *args: object) -> T:
        return await self._submit(self._read_thread, lambda: self._reading_with(work, *args))

    async def _catch_up(self) -> None:
        if not self.writable:  # whoever writes here sees all of it anyway, and is spared a change of threads
            await self._read(Database.catch_up)

    def _reading_with(self, work: Callable[..., T], *args: object) -> T:
        with self._reading:
            try:
                return work(self._open(), *args)
            except StorageCorrupt as error:
                self.damage = str(error)
                raise

    async def _on_write_thread(self, work: Callable[[], T]) -> T:
        return await self._submit(self._write_thread, work)

    async def _submit(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageError("History is closed.")
        return await asyncio.get_running_loop().run_in_executor(thread, work)


def directory_bytes(path: Path) -> int:
    total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # dropped meanwhile
                    continue
    except OSError:
        return total
    return total
