"""History on disk behind one interface: writing, reading, sums and retention."""
