"""Waiting times between attempts: growing, bounded, and never the same for two clients."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(first_secs: float = 0.25, most_secs: float = 30.0, factor: float = 2.0) -> Iterator[float]:
    """Each delay is drawn between half of its step and the whole of it, so that clients do not come in step."""
    step = first_secs
    while True:
        yield step * (0.5 + random.random() / 2)  # noqa: S311  # spreading load, not a secret
        step = min(most_secs, step * factor)
