"""Insert events, with their audit records, when a transaction commits.

Their chains are locked until the commit. A transaction that inserted them itself held these locks
until its process had sent COMMIT, which takes longer the more that process has to do.
"""

import sqlalchemy as sa
from alembic import op

revision = "0116"
down_revision = "0115"
branch_labels = None
depends_on = None

RECORD_AT_COMMIT = """
create function record_at_commit(given jsonb) returns void
    language plpgsql
    as $$
    declare
        -- One line for each call. A savepoint that is rolled back restores it.
        earlier text := coalesce(current_setting('mission_control.events', true), '');
    begin
        perform set_config('mission_control.events', earlier || given::text || E'\\n', true);
        if earlier = '' then
            insert into public.event_commits (id) values (gen_random_uuid());
        end if;
    end $$;
"""

RECORD_EVENTS = """
create function record_events() returns trigger
    language plpgsql
    as $$
    declare
        calls jsonb[];
        records jsonb;
        events jsonb;
        origins jsonb;
    begin
        select array_agg(line::jsonb order by number) into calls
        from string_to_table(current_setting('mission_control.events'), E'\\n')
            with ordinality as lines (line, number)
        where line <> '';
        perform set_config('mission_control.events', '', true);
        delete from public.event_commits where id = new.id;
        select coalesce(jsonb_agg(one order by number, position), '[]') into records
        from unnest(calls) with ordinality as given (call, number),
            jsonb_array_elements(call -> 'audit_records') with ordinality as ones (one, position);
        select coalesce(jsonb_agg(one order by number, position), '[]') into events
        from unnest(calls) with ordinality as given (call, number),
            jsonb_array_elements(call -> 'events') with ordinality as ones (one, position);
        select coalesce(jsonb_agg(one), '[]') into origins
        from unnest(calls) as call, jsonb_array_elements(call -> 'origins') as one;
        -- Before the numbers are assigned: so they appear in the order of the commits. The trigger
        -- of the audit takes the same locks.
        perform pg_advisory_xact_lock(
            hashtextextended(coalesce(organization_id, 'installation'), 0)
        ) from (
            select organization_id
            from jsonb_to_recordset(records || events) as one (organization_id text)
            group by organization_id order by organization_id collate "C" nulls first
        ) as chains;
        perform pg_notify('mission_control', organization_id) from (
            select distinct organization_id
            from jsonb_to_recordset(events) as one (organization_id text)
        ) as notified;
        insert into public.audit_records (
            id, organization_id, actor_kind, actor_id, actor_name, credential, credential_id,
            address, action, object_kind, object_id, object_name, cause, event_id, before, after
        )
        select
            id, organization_id, actor_kind, actor_id, actor_name, credential, credential_id,
            address, action, object_kind, object_id, object_name, cause, event_id, before, after
        from jsonb_populate_recordset(null::public.audit_records, records)
        with ordinality order by organization_id nulls first, ordinality;
        insert into public.activity_events (
            id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
            created_at
        )
        select
            id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
            clock_timestamp()
        from jsonb_populate_recordset(null::public.activity_events, events)
        with ordinality order by ordinality;
        insert into public.event_origins (
            id, actor_kind, actor_id, actor_name, credential, credential_id, address, cause
        )
        select id, actor_kind, actor_id, actor_name, credential, credential_id, address, cause
        from jsonb_populate_recordset(null::public.event_origins, origins);
        return null;
    end $$;
"""

TRIGGER = """
create constraint trigger record_events after insert on event_commits
    deferrable initially deferred for each row execute function record_events()
"""


def upgrade() -> None:
    op.create_table(
        "event_commits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_commits"),
        prefixes=["UNLOGGED"],
    )
    connection = op.get_bind()
    schema = connection.scalar(sa.text("select quote_ident(current_schema())"))
    for function in (RECORD_AT_COMMIT, RECORD_EVENTS):
        connection.exec_driver_sql(function.replace("public.", f"{schema}."))
    op.execute(TRIGGER)
