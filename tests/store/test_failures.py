"""RocksDB's own words for what went wrong, and what we make of them."""

from __future__ import annotations

import pytest
from loguru import logger

from tests.e2e.rig import listening
from vibe_orderbook_mcp.model.errors import Damaged, DiskFull, StorageError, StorageLocked
from vibe_orderbook_mcp.store.disk.failures import storage_error


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IO error: While lock file: /p/LOCK: Resource temporarily unavailable", StorageLocked),
        ("IO error: lock hold by current process, acquire time 1 /p/LOCK: No locks available", StorageLocked),
        ("IO error: No space left on device: While appending to file: /p/000004.log: No space left", DiskFull),
        ("IO error: Disk quota exceeded: While appending to file: /p/000004.log: Disk quota exceeded", DiskFull),
        ("Corruption: block checksum mismatch: stored = 1, computed = 2 in /p/000022.sst", Damaged),
        ("Invalid argument: /p/CURRENT: does not exist (create_if_missing is false)", Damaged),
        ("IO error: While renaming a file to /p/LOG.old: Permission denied", StorageError),
        ("Not implemented: Not supported operation in secondary mode.", StorageError),
        ("Something new about /p/", StorageError),
    ],
)
def test_an_error_text_says_its_kind_and_hides_paths(text: str, kind: type[StorageError]) -> None:
    error = storage_error(Exception(text), "writing history")
    assert type(error) is kind
    assert "/p/" not in str(error)


def test_a_directory_in_use_is_no_warning() -> None:
    """A second process beside the first is a normal day; the sentence that follows says what it does there."""
    levels: list[str] = []
    sink = logger.add(lambda message: levels.append(message.record["level"].name), level="DEBUG")
    try:
        storage_error(Exception("IO error: While lock file: /p/LOCK: Resource temporarily unavailable"), "opening")
        storage_error(Exception("IO error: No space left on device"), "opening")
    finally:
        logger.remove(sink)
    assert levels == ["DEBUG", "WARNING"]


def test_what_fails_at_each_attempt_is_logged_once_and_then_counted() -> None:
    """Six column families that could not be closed on a full disk were six lines, and each attempt to open one more."""
    with listening("WARNING") as logged:
        for number in range(6):
            error = Exception(f"IO error: No space left on device: /data/once/00001{number}.sst")
            assert isinstance(storage_error(error, "closing the data directory"), DiskFull)
        storage_error(Exception("IO error: No space left on device: /data/once"), "opening the data directory")
    assert [line.split(" failed")[0] for line in logged.messages] == [
        "Closing the data directory",
        "Opening the data directory",
    ]
