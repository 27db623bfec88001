"""The second and what becomes of it: recording, filling of holes, watching, keeping in order."""
