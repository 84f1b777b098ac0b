"""Count completed messages and moves of tasks by bucket, from hourly roll-ups.

Events are read only in hours that an edge of a window cuts: `edge_events`.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    Integer,
    Select,
    TextualSelect,
    bindparam,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from models import Event, EventType
from services.metrics.windows import CUT_SPANS, END_AT, MOMENT, NEXT_HOUR, TIMES

TASK_MOVES = (
    EventType.TASK_CREATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_DELETED,
    EventType.TASK_RESTORED,
)
"""The events that change a task's status; `left` and `entered` in their data name the statuses."""

MESSAGE_ENDS = (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED, EventType.MESSAGE_FAILED)
"""The events that complete a message; the last is a failure."""

EDGES = "cast(:edges as timestamptz[])"
CUT = "cast(:cut_hours as timestamptz[])"
LAST = "cast(:last as integer)"
_MOVES = ", ".join(f"'{type}'" for type in TASK_MOVES)
_ENDS = ", ".join(f"'{type}'" for type in MESSAGE_ENDS)
FAILED = f"'{EventType.MESSAGE_FAILED}'"

_ROLLED_HOURS = f"""
    board_id in (select id from scope) and hour >= cast(:first_hour as timestamptz)
        and hour <> all({CUT})
"""  # noqa: S608
_MOVES_BY_BUCKET = f"""
    select coalesce(
        jsonb_agg(jsonb_build_array(number, left_status, entered_status, count)), '[]'
    ) as counts
    from (
        select number, left_status, entered_status, cast(sum(count) as bigint) as count
        from (
            select width_bucket(hour, {EDGES}) as number, left_status, entered_status, count
            from task_move_hours where {_ROLLED_HOURS}
            union all
            select numbered.number, data ->> 'left', data ->> 'entered', numbered.count
            from edge_events, lateral (values
                (case weight when 1 then width_bucket(created_at, {EDGES}) else {LAST} end, weight),
                ({LAST} + 1, case weight when 1 then 0 else 1 end)
            ) numbered (number, count)
            where type in ({_MOVES}) and numbered.number > 0
        ) moves
        group by 1, 2, 3 having sum(count) <> 0
    ) counted
"""  # noqa: S608

_NEIGHBOUR = f"""
    select created_at
    from (
        select * from activity_events
        where data ->> 'message_id' = edge.data ->> 'message_id' offset 0  -- by its index alone
    ) other
    where other.board_id = edge.board_id and other.type in ({_ENDS})
        and (not only_failed or other.type = {FAILED})
        and (other.created_at, other.seq) {{comparison}} (edge.created_at, edge.seq)
    order by other.created_at {{order}}, other.seq {{order}} limit 1
"""  # noqa: S608
_STEPS = f"""
    select width_bucket(hour, {EDGES}) as number, width_bucket(previous_hour, {EDGES}) as previous,
        only_failed, count
    from message_hours
    where {_ROLLED_HOURS} and (previous_hour is null or previous_hour <> all({CUT}))
    union all
    select steps.number, steps.previous, only_failed, steps.count
    from edge_events edge
    cross join (values (false), (true)) kinds (only_failed)
    left join lateral ({_NEIGHBOUR.format(comparison="<", order="desc")}) previous on true
    left join lateral ({_NEIGHBOUR.format(comparison=">", order="asc")}) next on weight = 1
    cross join lateral (values
        (
            case weight when 1 then width_bucket(edge.created_at, {EDGES}) else {LAST} end,
            case when weight = -1 and previous.created_at >= cast(:end_hour as timestamptz)
                then {LAST} else width_bucket(previous.created_at, {EDGES}) end,
            weight
        ),
        (
            width_bucket(date_trunc('hour', next.created_at, 'UTC'), {EDGES}),
            width_bucket(edge.created_at, {EDGES}),
            case when next.created_at >= span_ended
                and date_trunc('hour', next.created_at, 'UTC') <> all({CUT}) then 1 else 0 end
        )
    ) steps (number, previous, count)
    where edge.type in ({_ENDS}) and edge.data ->> 'message_id' is not null
        and (not only_failed or edge.type = {FAILED})
"""  # noqa: S608
"""Every event with the bucket of the one before it. The second part replaces the roll-ups of cut
hours: each event there, and the next of its message if that is in a roll-up; and it subtracts the
events after the end, which the roll-up of the last hour contains."""

_MESSAGES_BY_BUCKET = f"""
    select coalesce(jsonb_agg(jsonb_build_array(number, failed, completed)), '[]') as counts
    from (
        select numbered.number,
            cast(coalesce(sum(count) filter (where only_failed), 0) as bigint) as failed,
            cast(coalesce(sum(count) filter (where not only_failed), 0) as bigint) as completed
        from ({_STEPS}) steps
        cross join lateral (values
            (number, previous is distinct from number),
            (0, number >= cast(:first_primary as integer)
                and coalesce(previous, 0) < cast(:first_primary as integer)),
            (-1, number < cast(:first_primary as integer) and coalesce(previous, 0) < 1)
        ) numbered (number, is_counted)
        where steps.number between 1 and {LAST} and is_counted
        group by 1
    ) counted
    where completed <> 0
"""  # noqa: S608


def count_messages_query() -> TextualSelect:
    """Select rows of a bucket's number, its failed and all its messages, as one JSON value.

    A message counts once in a bucket, however often it was completed there: by the event whose
    predecessor is in an earlier bucket. Number 0 is the whole primary window, -1 the comparison.
    """
    integer = bindparam("first_primary", type_=Integer)
    end_hour = bindparam("end_hour", type_=MOMENT)
    return _with_parameters(_MESSAGES_BY_BUCKET).bindparams(integer, end_hour).columns(counts=JSONB)


def count_moves_query() -> TextualSelect:
    """Select rows of a bucket's number, two statuses, and the number of moves, as one JSON value.

    Moves after the end are in one more bucket.
    """
    return _with_parameters(_MOVES_BY_BUCKET).columns(counts=JSONB)


def _with_parameters(sql: str) -> Any:
    return text(sql).bindparams(
        bindparam("edges", type_=TIMES),
        bindparam("cut_hours", type_=TIMES),
        bindparam("first_hour", type_=MOMENT),
        bindparam("last", type_=Integer),
    )


def select_edge_events(scope: Select[Any]) -> CTE:
    """Select the events in the hours that an edge cuts, on the boards of a scope.

    In the last hour they are those after the end, with the weight -1.
    """
    parts = [
        select(
            *(Event.board_id, Event.type, Event.data, Event.created_at, Event.seq),
            literal(weight).label("weight"),
            ended.label("span_ended"),
        ).where(
            Event.board_id.in_(scope),
            Event.type.in_([*TASK_MOVES, *MESSAGE_ENDS]),
            Event.created_at >= began,
            Event.created_at < ended,
        )
        for began, ended, weight in [*((*span, 1) for span in CUT_SPANS), (END_AT, NEXT_HOUR, -1)]
    ]
    return union_all(*parts).cte("edge_events")
