"""The layout in RocksDB, and the shares of the space.

| column family | content | compaction |
|---|---|---|
| `default` | `schema_version`, `symbol:{symbol}`, `ids:{symbol}`, `roll:{symbol}` | level |
| `snap` | `{symbol}:{second}` -> top of book | FIFO |
| `row` | `{symbol}:{second}` -> feature row | FIFO |
| `trade_sec` | `{symbol}:{ms}` -> trades of a second in an open minute | FIFO |
| `trade_min` | `{symbol}:{minute, as a second}` -> trades of a minute in columns | FIFO |
| `roll` | `m:{symbol}:{minute}`, `h:{symbol}:{hour}`, both as seconds -> trades summed up by price | level |
| `event` | `{symbol}:{ms}:{type}` -> a finding | FIFO |
| `base` | `{symbol}:{hour, as a second}` -> a baseline of that hour, opaque to the store | level |

FIFO drops the oldest file when a family exceeds its share or the file its age: so cap and retention need no
tombstones, and space is free at once. Records that are written repeatedly (`roll`, `base`) use level compaction, which
keeps one copy; `retain` deletes their oldest hours.
"""

from __future__ import annotations

from typing import Final

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    DBRecoveryMode,
    FifoCompactOptions,
    Options,
)

SCHEMA_VERSION: Final = 1

META: Final = "default"
SNAP: Final = "snap"
ROW: Final = "row"
TRADE_SEC: Final = "trade_sec"
TRADE_MIN: Final = "trade_min"
ROLL: Final = "roll"
EVENT: Final = "event"
BASE: Final = "base"
FIRST_FAMILIES: Final = (
    META,
    SNAP,
    ROW,
    TRADE_SEC,
    TRADE_MIN,
)  # the others came later: a directory may be without them
FAMILIES: Final = (*FIRST_FAMILIES, ROLL, EVENT, BASE)

# Shares of the cap. On disk a row takes 170 bytes, a snapshot 104: both reach equally far back. The rest, 9 %:
# write-ahead log 5, meta and RocksDB's own logs 1, and space for a new file while the oldest still counts.
FIFO_SHARES: Final = {SNAP: 0.22, ROW: 0.37, TRADE_SEC: 0.03, TRADE_MIN: 0.20, EVENT: 0.01}
LEVEL_SHARES: Final = {ROLL: 0.06, BASE: 0.02}
SHARES: Final = {**FIFO_SHARES, **LEVEL_SHARES}
_COMPACTING: Final = 0.7  # of a level family's share: the rest is for the output of a compaction before it deletes

_MB: Final = 1_000_000
_DAY: Final = 86_400
# Long enough to seal after any usual restart, short enough to stay within its share.
_TRADE_SEC_TTL: Final = _DAY
_BASE_DAYS: Final = 8  # a baseline compares with the same hour a week ago, and with the hour before that


class Layout(msgspec.Struct, frozen=True):
    """Cap and age, and every size that follows from them."""

    cap_mb: int
    retention_days: float

    @property
    def cap_bytes(self) -> int:
        return self.cap_mb * _MB

    @property
    def write_ahead_bytes(self) -> int:
        """Limit of the log: without one an idle family keeps it alive beyond the cap."""
        return max(_MB // 2, min(48 * _MB, self.cap_bytes // 20))

    @property
    def buffer_bytes(self) -> int:
        return max(128 * 1024, min(8 * _MB, self.cap_bytes // 64))

    @property
    def reserve_bytes(self) -> int:
        """Free space that writing needs: a flush of all memory, the log, a compaction."""
        buffers = sum(self.family_buffer_bytes(family) for family in FAMILIES)
        compactions = sum(self.family_bytes(family) for family in LEVEL_SHARES)
        return self.write_ahead_bytes + buffers + compactions

    def family_bytes(self, family: str) -> int:
        return int(self.cap_bytes * SHARES[family])

    def family_buffer_bytes(self, family: str) -> int:
        """FIFO would drop a file of its family's full share as soon as it is written."""
        return self.buffer_bytes if family == META else min(self.buffer_bytes, self.family_bytes(family) // 2)

    def is_over(self, family: str, held_bytes: int) -> float:
        """The size of a level family as a multiple of its limit."""
        return held_bytes / max(1.0, self.family_bytes(family) * _COMPACTING)

    def oldest_second(self, family: str, now_sec: int) -> int:
        """The first second that a level family keeps."""
        days = _BASE_DAYS if family == BASE else self.retention_days
        return now_sec - int(days * _DAY)

    def ttl(self, family: str) -> int:
        retention = max(1, int(self.retention_days * _DAY))
        return min(retention, _TRADE_SEC_TTL) if family == TRADE_SEC else retention

    def dynamic(self, family: str) -> dict[str, str]:
        """Options that RocksDB forgets at every open."""
        fifo = f"{{max_table_files_size={self.family_bytes(family)};allow_compaction=true;}}"
        return {"ttl": str(self.ttl(family)), "compaction_options_fifo": fifo}


def database_options(layout: Layout, *, create: bool) -> Options:
    options = _family_options(layout, META)
    options.create_if_missing(create)
    options.create_missing_column_families(True)  # the later ones; `inspect` has checked the others
    # Without it a damaged end of the log leaves families at different points, and the database cannot be opened.
    options.set_atomic_flush(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_max_total_wal_size(layout.write_ahead_bytes)
    options.set_max_open_files(-1)  # FIFO's age limit and secondaries need every file open
    options.set_keep_log_file_num(3)
    options.set_max_log_file_size(_MB)
    options.set_max_manifest_file_size(4 * _MB)
    options.set_max_background_jobs(2)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def family_options(layout: Layout) -> dict[str, Options]:
    cache = Cache(16 * _MB)
    families = {family: _family_options(layout, family, cache) for family in FAMILIES}
    for family in FIFO_SHARES:
        options = families[family]
        options.set_compaction_style(DBCompactionStyle.fifo())
        fifo = FifoCompactOptions()
        fifo.max_table_files_size = layout.family_bytes(family)
        options.set_fifo_compaction_options(fifo)
    return families


def raw_options() -> Options:
    """Raw mode always: the other one pickles, and opening a raw database without it makes it unreadable."""
    return Options(raw_mode=True)


def _family_options(layout: Layout, family: str, cache: Cache | None = None) -> Options:
    options = raw_options()
    options.set_write_buffer_size(layout.family_buffer_bytes(family))
    options.set_compression_type(DBCompressionType.zstd())
    # Level 12 takes 6 % off level 3's size; a week's data is compressed at 1 % of a core.
    options.set_compression_options(-14, 12, 0, 0)
    blocks = BlockBasedOptions()
    blocks.set_block_size(16 * 1024)
    if cache is not None:
        blocks.set_block_cache(cache)
    options.set_block_based_table_factory(blocks)
    return options
