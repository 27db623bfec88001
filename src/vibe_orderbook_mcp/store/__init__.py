"""History on disk: record encoding (pure) and RocksDB behind one door."""
