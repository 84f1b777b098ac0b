"""What agents pick an operation by in the OpenAPI document (contract, agents 5)."""

from collections.abc import Mapping

from api.hints import talk, work
from api.hints.hint import LEAD, MAIN, WORKER, Hint

HINTS: Mapping[str, Hint] = {**work.HINTS, **talk.HINTS}

__all__ = ["HINTS", "LEAD", "MAIN", "WORKER", "Hint"]
