"""RocksDB and its directory: opening, locking, failures, layout."""
