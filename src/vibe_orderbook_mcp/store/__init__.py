"""History on disk behind one door: what is written, read, added up and kept."""
