"""Recording of seconds: storage, filling of holes, detection, housekeeping."""
