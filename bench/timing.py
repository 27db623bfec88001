"""Contenders over the same messages, taking turns, in thread CPU time."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.contenders import Contender, Yardstick
from bench.sets import MessageSet

SEGMENTS = 20


@dataclass
class Timing:
    """`us` is microseconds a message, `ratio` to the yardstick of the same segment; medians over the segments."""

    name: str
    us: float
    ratio: float
    segments: int
    is_true: bool  # it ended with the book that this project's path has


def race(messages: MessageSet, contenders: Sequence[Contender], *, segments: int = SEGMENTS) -> list[Timing]:
    """Every contender is fed a segment before any is fed the next one; who begins changes each time."""
    frames = messages.frames
    size = max(1, len(frames) // segments)
    costs: dict[str, list[float]] = {one.name: [] for one in contenders}
    truths: list[tuple[float, float] | None] = []
    judge = next(one for one in contenders if not isinstance(one, Yardstick))  # by convention our own book
    wrong: set[str] = set()
    limits = {one.name: max(2, round(segments * one.share)) for one in contenders}
    gc.collect()
    for segment in range(segments):
        part = frames[segment * size : (segment + 1) * size]
        order = [*contenders[segment % len(contenders) :], *contenders[: segment % len(contenders)]]
        for one in order:
            if segment >= limits[one.name]:
                continue
            begun = time.thread_time_ns()
            one.feed(part)
            costs[one.name].append((time.thread_time_ns() - begun) / 1e3 / len(part))
        truths.append(judge.touch())
        for one in contenders:
            if not isinstance(one, Yardstick) and segment == limits[one.name] - 1 and one.touch() != truths[-1]:
                wrong.add(one.name)
    yard = costs[Yardstick.name]
    return [
        Timing(
            one.name,
            median(costs[one.name]),
            median(cost / base for cost, base in zip(costs[one.name], yard, strict=False)),
            len(costs[one.name]),
            one.name not in wrong,
        )
        for one in contenders
    ]
