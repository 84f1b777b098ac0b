"""Add the progress of the deletion of old events, and the anchors of dropped audit records."""

import sqlalchemy as sa
from alembic import op

revision = "0111"
down_revision = "0110"
branch_labels = None
depends_on = None

AUDIT = """
create trigger protect before insert or update or delete on audit_anchors
    for each row execute function protect_audit_anchors();
create trigger protect_all before truncate on audit_anchors
    for each statement execute function protect_audit_anchors();

create function drop_audit_records(chain uuid, through bigint, expected varchar) returns bigint
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
        if last.hash is distinct from expected then
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
PROTECT_RECORDS = """
create or replace function protect_audit_records() returns trigger
    language plpgsql
    set search_path to pg_catalog, public, pg_temp
    as $$
    begin
        -- Every role can set the settings; only delete_audit_chain and drop_audit_records run as
        -- the owner of the table.
        if tg_op = 'DELETE' then
            if (
                current_setting('mission_control.deleted_chain', true) = old.organization_id::text
                or current_setting('mission_control.dropped_chain', true)
                    = coalesce(old.organization_id::text, 'installation')
            ) and current_user = (
                select pg_get_userbyid(relowner) from pg_class where oid = tg_relid
            )
            then
                return old;
            end if;
        end if;
        raise exception 'audit records are never changed or deleted'
            using errcode = 'insufficient_privilege';
    end $$;
"""
PROTECT_ANCHORS = """
create function protect_audit_anchors() returns trigger
    language plpgsql
    set search_path to pg_catalog, public, pg_temp
    as $$
    begin
        if current_user = (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid) then
            if tg_op = 'INSERT' then
                if current_setting('mission_control.dropped_chain', true)
                    = coalesce(new.organization_id::text, 'installation')
                then
                    return new;
                end if;
            elsif tg_op = 'DELETE' then
                if current_setting('mission_control.deleted_chain', true)
                    = old.organization_id::text
                then
                    return old;
                end if;
            end if;
        end if;
        raise exception 'anchors of the audit are only added with dropped records'
            using errcode = 'insufficient_privilege';
    end $$;
"""
DELETE_CHAIN = """
create or replace function delete_audit_chain(chain uuid, keep_days integer) returns bigint
    language plpgsql security definer
    set search_path to pg_catalog, public, pg_temp
    as $$
    declare
        deleted bigint;
    begin
        if keep_days is null or keep_days < 30 then
            raise exception 'the audit of a deleted organization is kept for at least 30 days';
        end if;
        if exists (select from public.organizations where id = chain) or exists (
            select from public.audit_records where organization_id = chain
            and at > clock_timestamp() - make_interval(days => keep_days)
        ) then
            return 0;
        end if;
        perform set_config('mission_control.deleted_chain', chain::text, true);
        delete from public.audit_records where organization_id = chain;
        get diagnostics deleted = row_count;
        delete from public.audit_anchors where organization_id = chain;
        perform set_config('mission_control.deleted_chain', '', true);
        return deleted;
    end $$;
"""
RIGHTS = """
-- Default privileges may have given others rights on the anchors, and on the function.
do $$
declare
    granted record;
begin
    for granted in
        select distinct coalesce(quote_ident(rolname), 'public') as name
        from pg_class, aclexplode(relacl) as acl left join pg_roles on pg_roles.oid = grantee
        where pg_class.oid = 'public.audit_anchors'::regclass and grantee <> relowner
    loop
        execute 'revoke insert, update, delete, truncate, trigger on public.audit_anchors from '
            || granted.name;
    end loop;
    for granted in
        select distinct coalesce(quote_ident(rolname), 'public') as name
        from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
        left join pg_roles on pg_roles.oid = grantee
        where pg_proc.oid = 'public.drop_audit_records(uuid, bigint, varchar)'::regprocedure
            and grantee <> proowner
    loop
        execute 'revoke execute on function '
            || 'public.drop_audit_records(uuid, bigint, varchar) from ' || granted.name;
    end loop;
end $$;
"""


def upgrade() -> None:
    op.create_table(
        "event_retention",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("deleted_seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_event_retention_organization_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_event_retention"),
        sa.UniqueConstraint("organization_id", name="uq_event_retention_organization_id"),
    )
    op.create_table(
        "audit_anchors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_anchors"),
        sa.UniqueConstraint(
            "organization_id",
            "sequence",
            name="uq_audit_anchors_organization_id_sequence",
            postgresql_nulls_not_distinct=True,
        ),
    )
    connection = op.get_bind()
    schema = connection.scalar(sa.text("select quote_ident(current_schema())"))
    for statements in (PROTECT_RECORDS, PROTECT_ANCHORS, DELETE_CHAIN, AUDIT, RIGHTS):
        placed = statements.replace("public.", f"{schema}.")
        placed = placed.replace(", public,", f", {schema},")
        # asyncpg runs many statements only without parameters, which SQLAlchemy always sends.
        connection.connection.dbapi_connection.run_async(
            lambda driver, text=placed: driver.execute(text)
        )
