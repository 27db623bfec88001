"""Update ids; each frame names its first and last id, or its only one. PURE."""

from __future__ import annotations

from vibe_orderbook_mcp.verify.parts import Following, LevelsFrame, VenueRules


class RangeRules(VenueRules):
    """Ids follow each other without a hole, and the first frame to apply has the answer's id + 1 within its own."""

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        first_id, final_id = _ids(frame)
        if final_id <= last_id:
            return "old"
        return "gap" if first_id > last_id + 1 else "next"

    def joins(self, answer_id: int, frame: LevelsFrame) -> bool:
        first_id, final_id = _ids(frame)
        return first_id <= answer_id + 1 <= final_id


def _ids(frame: LevelsFrame) -> tuple[int, int]:
    """The first and the last one, which each frame has."""
    return frame.first_id or 0, frame.final_id or 0
