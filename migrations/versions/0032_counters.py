"""Create counters and hourly roll-ups, the triggers that maintain them, and fill them.

The triggers run for every writer, also for servers of the previous version. Writers of tasks,
approvals, comments and events wait while the migration runs. The reasons are in
docs/decisions/counters.md.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MOVES = "('task.created', 'task.status_changed', 'task.deleted', 'task.restored')"
ENDED = "('message.sent', 'message.acknowledged', 'message.failed')"
TASK_COLUMNS = ("inbox_tasks", "in_progress_tasks", "review_tasks", "done_tasks")
APPROVAL_COLUMNS = (
    "pending_approvals",
    "approved_approvals",
    "rejected_approvals",
    "undecided_approvals",
    "decided_approvals",
)

ADD_TASKS = """
    insert into {schema}.board_counts as kept
        (board_id, inbox_tasks, in_progress_tasks, review_tasks, done_tasks)
    select board_id,
        coalesce(sum(sign) filter (where status = 'inbox'), 0),
        coalesce(sum(sign) filter (where status = 'in_progress'), 0),
        coalesce(sum(sign) filter (where status = 'review'), 0),
        coalesce(sum(sign) filter (where status = 'done'), 0)
    from ({source}) changed
    where exists (select from {schema}.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set {task_sums};
"""
ADD_DONE_TASKS = """
    insert into {schema}.done_task_hours as kept (board_id, hour, scale, tasks, cycle_hours)
    select board_id, date_trunc('hour', done_at, 'UTC'), scale(hours), sum(sign), sum(sign * hours)
    from (
        select *, extract(epoch from done_at - started_at) / 3600 as hours from ({source}) changed
        where status = 'done' and done_at is not null
    ) done
    where exists (select from {schema}.boards where boards.id = done.board_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (board_id, hour, scale) do update set
        tasks = kept.tasks + excluded.tasks, cycle_hours = kept.cycle_hours + excluded.cycle_hours;
"""
ADD_APPROVALS = """
    insert into {schema}.board_counts as kept (
        board_id, pending_approvals, approved_approvals, rejected_approvals, undecided_approvals,
        decided_approvals
    )
    select board_id,
        coalesce(sum(sign) filter (where status = 'pending'), 0),
        coalesce(sum(sign) filter (where status = 'approved'), 0),
        coalesce(sum(sign) filter (where status = 'rejected'), 0),
        coalesce(sum(sign) filter (where status = 'pending' and decided_status is null), 0),
        coalesce(sum(sign) filter (where coalesce(decided_at, resolved_at) is not null), 0)
    from ({source}) changed
    where exists (select from {schema}.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set {approval_sums};
"""
ADD_COMMENTS = """
    insert into {schema}.board_counts as kept (board_id, comments)
    select board_id, sum(sign) from ({source}) changed
    where exists (select from {schema}.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set comments = kept.comments + excluded.comments;
"""
ADD_EVENTS = """
    insert into {schema}.event_counts as kept (organization_id, board_id, type, count)
    select organization_id, board_id, type, sum(sign) from ({source}) changed
    where exists (select from {schema}.organizations where id = changed.organization_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (organization_id, board_id, type) do update set count = kept.count + excluded.count;
"""
ADD_AGENT_EVENTS = """
    insert into {schema}.agent_event_counts as kept
        (agent_id, organization_id, board_id, type, count)
    select agent_id, organization_id, board_id, type, sum(sign) from ({source}) changed
    where agent_id is not null
        and exists (select from {schema}.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (agent_id, organization_id, board_id, type)
        do update set count = kept.count + excluded.count;
"""
ADD_MOVES = """
    insert into {schema}.task_move_hours as kept
        (organization_id, board_id, hour, left_status, entered_status, count)
    select organization_id, board_id, date_trunc('hour', created_at, 'UTC'),
        data ->> 'left', data ->> 'entered', sum(sign)
    from ({source}) changed
    where board_id is not null and type in {moves}
        and exists (select from {schema}.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (board_id, hour, left_status, entered_status)
        do update set count = kept.count + excluded.count;
"""
ADD_MESSAGES = """
    with touched as (
        select distinct board_id, data ->> 'message_id' as message_id from ({source}) changed
        where board_id is not null and type in {ended} and data ->> 'message_id' is not null
    ),
    ended as (
        select known.organization_id, touched.board_id, touched.message_id, known.type, known.seq,
            known.created_at, changed.id is not null as is_changed
        from touched join ({known}) known using (board_id, message_id)
        left join ({source}) changed on changed.id = known.id
        where known.type in {ended}
    ),
    chosen as (
        select * from ended,
            (values (false), (true)) moments (is_before),
            (values (false), (true)) kinds (only_failed)
        where not (is_before and is_changed) and (not only_failed or type = 'message.failed')
    ),
    steps as (
        select organization_id, board_id, only_failed, created_at, lag(created_at) over (
            partition by is_before, only_failed, board_id, message_id order by created_at, seq
        ) as previous_at, case when is_before then -1 else 1 end as sign
        from chosen
    )
    insert into {schema}.message_hours as kept
        (organization_id, board_id, only_failed, hour, previous_hour, count)
    select organization_id, board_id, only_failed, date_trunc('hour', created_at, 'UTC'),
        date_trunc('hour', previous_at, 'UTC'), sum(sign) * {sign}
    from steps
    where exists (select from {schema}.organizations where id = steps.organization_id)
    group by 1, 2, 3, 4, 5 having sum(sign) <> 0 order by 1, 2, 3, 4, 5
    on conflict (board_id, only_failed, hour, previous_hour)
        do update set count = kept.count + excluded.count;
"""
KNOWN_EVENTS = (
    "select *, data ->> 'message_id' as message_id from {schema}.activity_events"
    " where data ->> 'message_id' is not null"
)
EVENTS_FUNCTION = f"""
    if not exists (
        select from {{rows}} join {{schema}}.organizations on organizations.id = organization_id
    ) then return null; end if;
    {ADD_EVENTS}
    if exists (select from {{rows}} where agent_id is not null) then {ADD_AGENT_EVENTS} end if;
    if exists (select from {{rows}} where type in {{moves}}) then {ADD_MOVES} end if;
    if exists (select from {{rows}} where type in {{ended}}) then {ADD_MESSAGES} end if;
"""  # noqa: S608 - the parts are constants
FUNCTION = """
    create function {schema}.{name}() returns trigger language plpgsql as $$
    begin {body} return null; end $$
"""
TRIGGER = """
    create trigger {name} after {operation} on {schema}.{table} {rows_of}
        for each {each} {condition} execute function {schema}.{name}()
"""
WATCHED = {
    "tasks": ("board_id", "status", "done_at", "started_at"),
    "approvals": ("board_id", "status", "decided_status", "decided_at", "resolved_at"),
}
"""The columns on which counts depend. An update of others does not call a trigger."""


def upgrade() -> None:
    _create_tables()
    _create_indexes()
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar_one()
    for table, body in (
        ("tasks", ADD_TASKS + ADD_DONE_TASKS),
        ("approvals", ADD_APPROVALS),
        ("task_comments", ADD_COMMENTS),
        ("activity_events", EVENTS_FUNCTION),
    ):
        _create_triggers(schema, table, body)
        _fill(schema, table)


def downgrade() -> None:
    for table in ("tasks", "approvals", "task_comments", "activity_events"):
        for operation in ("insert", "update", "delete"):
            name = f"count_{table}_at_{operation}"
            op.execute(f"drop trigger if exists {name} on {table}")
            op.execute(f"drop function if exists {name}()")
    for index, table, _ in INDEXES:
        op.drop_index(index, table)
    for table in CREATE_TABLES:
        op.drop_table(table)


def _create_triggers(schema: str, table: str, body: str) -> None:
    run = op.get_bind().exec_driver_sql
    for operation, sign, rows_of in (
        ("insert", 1, "referencing new table as changed_rows"),
        ("delete", -1, "referencing old table as changed_rows"),
    ):
        name = f"count_{table}_at_{operation}"
        source = f"select *, {sign} as sign from changed_rows"  # noqa: S608
        known = KNOWN_EVENTS.format(schema=schema)
        if operation == "delete":
            known += " union all select *, data ->> 'message_id' from changed_rows"
        text = _format(body, schema, source, known=known, sign=str(sign))
        run(FUNCTION.format(schema=schema, name=name, body=text))
        run(
            TRIGGER.format(
                schema=schema, name=name, operation=operation, table=table, rows_of=rows_of,
                each="statement", condition="",
            )
        )  # fmt: skip
    if table in WATCHED:
        _create_update_trigger(schema, table, body)


def _create_update_trigger(schema: str, table: str, body: str) -> None:
    """Create a trigger for each row, so that it is called only if a watched column changes."""
    name, columns = f"count_{table}_at_update", WATCHED[table]
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("old", "new"))
    named = ", ".join(columns)
    source = f"select * from (values ({old}, -1), ({new}, 1)) as pairs ({named}, sign)"  # noqa: S608
    run = op.get_bind().exec_driver_sql
    run(FUNCTION.format(schema=schema, name=name, body=_format(body, schema, source)))
    condition = f"when (({old}) is distinct from ({new}))"
    run(
        TRIGGER.format(
            schema=schema, name=name, operation="update", table=table, rows_of="", each="row",
            condition=condition,
        )
    )  # fmt: skip


def _fill(schema: str, table: str) -> None:
    """Count the existing rows, as if they were inserted now."""
    source = f"select *, 1 as sign from {schema}.{table}"  # noqa: S608
    statements = {
        "tasks": (ADD_TASKS, ADD_DONE_TASKS),
        "approvals": (ADD_APPROVALS,),
        "task_comments": (ADD_COMMENTS,),
        "activity_events": (ADD_EVENTS, ADD_AGENT_EVENTS, ADD_MOVES, FILL_MESSAGES),
    }
    for statement in statements[table]:
        op.get_bind().exec_driver_sql(_format(statement, schema, source))


FILL_MESSAGES = """
    insert into {schema}.message_hours
        (organization_id, board_id, only_failed, hour, previous_hour, count)
    select organization_id, board_id, only_failed, date_trunc('hour', created_at, 'UTC'),
        date_trunc('hour', previous_at, 'UTC'), count(*)
    from (
        select organization_id, board_id, only_failed, created_at, lag(created_at) over (
            partition by only_failed, board_id, data ->> 'message_id' order by created_at, seq
        ) as previous_at
        from {schema}.activity_events, (values (false), (true)) kinds (only_failed)
        where board_id is not null and type in {ended} and data ->> 'message_id' is not null
            and (not only_failed or type = 'message.failed')
    ) steps
    group by 1, 2, 3, 4, 5
"""


def _format(text: str, schema: str, source: str, *, known: str = "", sign: str = "1") -> str:
    return text.format(
        schema=schema,
        source=source,
        known=known,
        sign=sign,
        rows="changed_rows",
        moves=MOVES,
        ended=ENDED,
        task_sums=_sums(TASK_COLUMNS),
        approval_sums=_sums(APPROVAL_COLUMNS),
    )


def _sums(columns: Sequence[str]) -> str:
    return ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in columns)


CREATE_TABLES = {
    "board_counts": """
        board_id uuid not null constraint fk_board_counts_board_id
            references boards (id) on delete cascade,
        inbox_tasks integer default 0 not null,
        in_progress_tasks integer default 0 not null,
        review_tasks integer default 0 not null,
        done_tasks integer default 0 not null,
        pending_approvals integer default 0 not null,
        approved_approvals integer default 0 not null,
        rejected_approvals integer default 0 not null,
        undecided_approvals integer default 0 not null,
        decided_approvals integer default 0 not null,
        comments integer default 0 not null,
        constraint uq_board_counts_board_id unique (board_id)
    """,
    "event_counts": """
        organization_id uuid not null constraint fk_event_counts_organization_id
            references organizations (id) on delete cascade,
        board_id uuid,
        type varchar(40) not null,
        count bigint not null,
        constraint uq_event_counts_key
            unique nulls not distinct (organization_id, board_id, type)
    """,
    "agent_event_counts": """
        agent_id uuid not null,
        organization_id uuid not null constraint fk_agent_event_counts_organization_id
            references organizations (id) on delete cascade,
        board_id uuid,
        type varchar(40) not null,
        count bigint not null,
        constraint uq_agent_event_counts_key
            unique nulls not distinct (agent_id, organization_id, board_id, type)
    """,
    "task_move_hours": """
        organization_id uuid not null constraint fk_task_move_hours_organization_id
            references organizations (id) on delete cascade,
        board_id uuid not null,
        hour timestamptz not null,
        left_status varchar(40),
        entered_status varchar(40),
        count bigint not null,
        constraint uq_task_move_hours_key
            unique nulls not distinct (board_id, hour, left_status, entered_status)
    """,
    "message_hours": """
        organization_id uuid not null constraint fk_message_hours_organization_id
            references organizations (id) on delete cascade,
        board_id uuid not null,
        only_failed boolean not null,
        hour timestamptz not null,
        previous_hour timestamptz,
        count bigint not null,
        constraint uq_message_hours_key
            unique nulls not distinct (board_id, only_failed, hour, previous_hour)
    """,
    "done_task_hours": """
        board_id uuid not null constraint fk_done_task_hours_board_id
            references boards (id) on delete cascade,
        hour timestamptz not null,
        scale integer,
        tasks integer not null,
        cycle_hours numeric,
        constraint uq_done_task_hours_key unique nulls not distinct (board_id, hour, scale)
    """,
}
ORGANIZATION_TABLES = ("agent_event_counts", "event_counts", "message_hours", "task_move_hours")

INDEXES = (
    ("ix_activity_events_board_id_seq", "activity_events", ["board_id", "seq"]),
    ("ix_activity_events_board_id_type_seq", "activity_events", ["board_id", "type", "seq"]),
    ("ix_activity_events_message_id", "activity_events", [sa.text("(data ->> 'message_id')")]),
    (
        "ix_approvals_decided",
        "approvals",
        ["board_id", sa.text("coalesce(decided_at, resolved_at)")],
    ),
    ("ix_activity_events_agent_id_seq", "activity_events", ["agent_id", "seq"]),
    (
        "ix_approvals_board_id_status_created_at",
        "approvals",
        ["board_id", "status", "created_at"],
    ),
    ("ix_approvals_board_id_created_at", "approvals", ["board_id", "created_at"]),
    ("ix_task_comments_board_id_created_at", "task_comments", ["board_id", "created_at"]),
)


def _create_tables() -> None:
    """Create the tables with free space in each page, for HOT updates of the counters."""
    for name, columns in CREATE_TABLES.items():
        op.execute(
            f"create table {name} (id uuid default gen_random_uuid() constraint pk_{name} "
            f"primary key, {columns}) with (fillfactor = 50)"
        )
    for name in ORGANIZATION_TABLES:
        op.create_index(f"ix_{name}_organization_id", name, ["organization_id"])


def _create_indexes() -> None:
    for index, table, columns in INDEXES:
        op.create_index(index, table, columns)
