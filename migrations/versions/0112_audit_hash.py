"""Refuse to drop records of the audit without the hash of the last one."""

import sqlalchemy as sa
from alembic import op

revision = "0112"
down_revision = "0111"
branch_labels = None
depends_on = None

DROP_RECORDS = """
create or replace function drop_audit_records(chain uuid, through bigint, expected varchar)
    returns bigint
    language plpgsql security definer
    set search_path to pg_catalog, public, pg_temp
    as $$
    declare
        name text := coalesce(chain::text, 'installation');
        owner text := coalesce(format('organization_id = %L', chain), 'organization_id is null');
        last record;
        follower varchar;
        dropped bigint;
    begin
        perform pg_advisory_xact_lock(hashtextextended('dropped audit records: ' || name, 0));
        execute format('select hash, at from public.audit_records where %s and sequence = %L',
            owner, through) into last;
        if expected is null or last.hash is distinct from expected then
            raise exception 'record % of the audit does not have this hash', through;
        end if;
        if last.at > clock_timestamp() - interval '30 days' then
            raise exception 'records of the audit are kept for at least 30 days';
        end if;
        execute format('select previous_hash from public.audit_records where %s and sequence = %L',
            owner, through + 1) into follower;
        if follower is distinct from expected then
            raise exception 'no record of the audit follows record %', through;
        end if;
        perform set_config('mission_control.dropped_chain', name, true);
        execute format('delete from public.audit_records where %s and sequence <= %L',
            owner, through);
        get diagnostics dropped = row_count;
        insert into public.audit_anchors
            (id, organization_id, sequence, hash, record_count, dropped_at)
        values (gen_random_uuid(), chain, through, expected, dropped, clock_timestamp());
        perform set_config('mission_control.dropped_chain', '', true);
        return dropped;
    end $$;
"""


def upgrade() -> None:
    connection = op.get_bind()
    schema = connection.scalar(sa.text("select quote_ident(current_schema())"))
    placed = DROP_RECORDS.replace("public.", f"{schema}.").replace(", public,", f", {schema},")
    connection.exec_driver_sql(placed)
