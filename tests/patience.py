"""How long a test waits for what comes at once on a quiet machine. Only a failing test gets to know it."""

PATIENCE_SECS = 600.0
