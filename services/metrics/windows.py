"""Windows of time that are cut into buckets, and how a statement finds the bucket of a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    bindparam,
    func,
)

TIMES = ARRAY(DateTime(timezone=True))
MOMENT = DateTime(timezone=True)
RESOLUTION = timedelta(microseconds=1)

START: Any = bindparam("start", type_=MOMENT)  # of the primary window
END: Any = bindparam("end", type_=MOMENT)
EDGES: Any = bindparam("edges", type_=TIMES)
CUT_HOURS: Any = bindparam("cut_hours", type_=TIMES)
FIRST_AT: Any = bindparam("first_at", type_=MOMENT)  # the first edge
FIRST_HOUR: Any = bindparam("first_hour", type_=MOMENT)
CUT_SPANS: Any = [
    (bindparam(f"cut_began_{n}", type_=MOMENT), bindparam(f"cut_ended_{n}", type_=MOMENT))
    for n in (1, 2)
]  # the hours that the first edges of the windows cut; empty if they do not
NEXT_HOUR: Any = bindparam("next_hour", type_=MOMENT)  # after END_HOUR
END_AT: Any = bindparam("end_at", type_=MOMENT)
END_HOUR: Any = bindparam("end_hour", type_=MOMENT)
"""The parameters of the statement. `build_parameters` describes them."""


@dataclass(frozen=True)
class TimeWindow:
    """A period of time, cut into buckets; the first bucket begins at or before the start."""

    start: datetime
    end: datetime
    bucket_starts: Sequence[datetime]  # when each of its buckets begins

    @property
    def clipped_starts(self) -> list[datetime]:
        """When each bucket begins within the window."""
        return [self.start, *self.bucket_starts[1:]]


@dataclass(frozen=True)
class Timeline:
    """The window up to now, and the one before it for comparison; they do not overlap."""

    primary: TimeWindow
    comparison: TimeWindow

    @property
    def edges(self) -> list[datetime]:
        """When each bucket of both windows begins, the older first, and when the last one ends."""
        return [
            *self.comparison.clipped_starts,
            *self.primary.clipped_starts,
            self.primary.end + RESOLUTION,
        ]


def build_parameters(time: Timeline) -> dict[str, Any]:
    """Return the parameters for a timeline.

    They include the `edges`, the hours that an edge cuts except the last (`cut_hours`), the numbers
    of the `first_primary` and the `last` bucket, the end of that (`end_at`, exclusive), and the
    hour of its last moment (`end_hour`).
    """
    edges = time.edges
    parameters = {
        "start": time.primary.start,
        "end": time.primary.end,
        "edges": edges,
        "first_at": edges[0],
        "first_hour": hour_of(edges[0]),
        "cut_hours": [hour_of(edge) for edge in edges[:-1] if edge != hour_of(edge)],
        "first_primary": len(time.comparison.bucket_starts) + 1,
        "last": len(edges) - 1,
        "end_at": edges[-1],
        "end_hour": hour_of(time.primary.end),
        "next_hour": hour_of(time.primary.end) + timedelta(hours=1),
    }
    for number, edge in enumerate((time.comparison.start, time.primary.start), start=1):
        began = hour_of(edge)
        parameters[f"cut_began_{number}"] = began
        parameters[f"cut_ended_{number}"] = began + timedelta(hours=edge != began)
    return parameters


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def bucket_number(moment: Any) -> ColumnElement[int]:
    return func.width_bucket(moment, EDGES)
