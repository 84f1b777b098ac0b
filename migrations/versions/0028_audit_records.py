"""Create the audit: records that are only added, in one hash chain for each organization.

A trigger numbers a new record and computes its hash; others reject every change. Only
`delete_audit_chain` can delete, and only the whole chain of an organization that no longer exists.
Roles that other tables give to (ALTER DEFAULT PRIVILEGES) can only read and add records.

The functions find tables and functions in their schema, and temporary tables last: otherwise a
role could replace a table by a temporary one. Only the owner may delete a chain, or grant that.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())

CANONICAL_JSON = """
    create function canonical_json(given jsonb) returns text
    language plpgsql immutable parallel safe as $$
    begin
        if jsonb_typeof(given) = 'object' then
            return '{' || coalesce((
                select string_agg(
                    to_json(key)::text || ':' || canonical_json(value), ',' order by key collate "C"
                ) from jsonb_each(given)
            ), '') || '}';
        elsif jsonb_typeof(given) = 'array' then
            return '[' || coalesce((
                select string_agg(canonical_json(value), ',' order by position)
                from jsonb_array_elements(given) with ordinality as items (value, position)
            ), '') || ']';
        end if;
        return given::text;
    end $$
"""
APPEND = """
    create function {schema}.append_audit_record() returns trigger
    language plpgsql set search_path = pg_catalog, {schema}, pg_temp as $$
    declare
        last record;
    begin
        perform pg_advisory_xact_lock(
            hashtextextended(coalesce(new.organization_id::text, 'installation'), 0)
        );
        if new.organization_id is null then
            select sequence, hash into last from {schema}.audit_records
            where organization_id is null order by sequence desc limit 1;
        else
            select sequence, hash into last from {schema}.audit_records
            where organization_id = new.organization_id order by sequence desc limit 1;
        end if;
        new.sequence := coalesce(last.sequence, 0) + 1;
        new.previous_hash := coalesce(last.hash, repeat('0', 64));
        new.at := clock_timestamp();
        new.hash := encode(sha256(convert_to({schema}.canonical_json(
            to_jsonb(new) - 'hash' || jsonb_build_object(
                'at', to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            )
        ), 'UTF8')), 'hex');
        return new;
    end $$
"""
PROTECT = """
    create function {schema}.protect_audit_records() returns trigger
    language plpgsql set search_path = pg_catalog, {schema}, pg_temp as $$
    begin
        -- Every role can set the setting; only delete_audit_chain runs as the owner of the table.
        if tg_op = 'DELETE' then
            if current_setting('mission_control.deleted_chain', true) = old.organization_id::text
                and current_user = (
                    select pg_get_userbyid(relowner) from pg_class where oid = tg_relid
                )
            then
                return old;
            end if;
        end if;
        raise exception 'audit records are never changed or deleted'
            using errcode = 'insufficient_privilege';
    end $$
"""
DELETE_CHAIN = """
    create function {schema}.delete_audit_chain(chain uuid, keep_days integer) returns bigint
    language plpgsql security definer set search_path = pg_catalog, {schema}, pg_temp as $$
    declare
        deleted bigint;
    begin
        if keep_days is null or keep_days < 30 then
            raise exception 'the audit of a deleted organization is kept for at least 30 days';
        end if;
        if exists (select from {schema}.organizations where id = chain) or exists (
            select from {schema}.audit_records where organization_id = chain
            and at > clock_timestamp() - make_interval(days => keep_days)
        ) then
            return 0;
        end if;
        perform set_config('mission_control.deleted_chain', chain::text, true);
        delete from {schema}.audit_records where organization_id = chain;
        get diagnostics deleted = row_count;
        perform set_config('mission_control.deleted_chain', '', true);
        return deleted;
    end $$
"""
TRIGGERS = """
    create trigger append before insert on audit_records
        for each row execute function append_audit_record();
    create trigger protect before update or delete on audit_records
        for each row execute function protect_audit_records();
    create trigger protect_all before truncate on audit_records
        for each statement execute function protect_audit_records();
"""
REVOKE = """
    do $$
    declare
        granted record;
    begin
        for granted in
            select distinct coalesce(quote_ident(rolname), 'public') as name
            from pg_class, aclexplode(relacl) as acl left join pg_roles on pg_roles.oid = grantee
            where pg_class.oid = '{schema}.audit_records'::regclass and grantee <> relowner
        loop
            execute 'revoke update, delete, truncate, trigger on {schema}.audit_records from '
                || granted.name;
        end loop;
        for granted in
            select distinct coalesce(quote_ident(rolname), 'public') as name
            from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
            left join pg_roles on pg_roles.oid = grantee
            where pg_proc.oid = '{schema}.delete_audit_chain(uuid, integer)'::regprocedure
                and grantee <> proowner
        loop
            execute 'revoke execute on function {schema}.delete_audit_chain(uuid, integer) from '
                || granted.name;
        end loop;
    end $$
"""


def upgrade() -> None:
    op.create_table(
        "audit_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.String(), nullable=True),
        sa.Column("credential", sa.String(), nullable=True),
        sa.Column("credential_id", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=True),
        sa.Column("object_name", sa.String(), nullable=True),
        sa.Column("cause", sa.String(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_audit_records_sequence")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_records")),
        sa.UniqueConstraint(
            "organization_id",
            "sequence",
            name=op.f("uq_audit_records_organization_id_sequence"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    for column in ("actor_id", "action", "object_id"):
        name = op.f(f"ix_audit_records_organization_id_{column}_sequence")
        op.create_index(name, "audit_records", ["organization_id", column, "sequence"])
    connection = op.get_bind()
    schema = connection.exec_driver_sql("select quote_ident(current_schema())").scalar_one()
    connection.exec_driver_sql(CANONICAL_JSON)
    for statement in (APPEND, PROTECT, DELETE_CHAIN, *TRIGGERS.split(";")[:-1], REVOKE):
        connection.exec_driver_sql(statement.format(schema=schema))


def downgrade() -> None:
    """Delete the audit. Export it before."""
    for statement in (
        "drop table audit_records",
        "drop function delete_audit_chain(uuid, integer)",
        "drop function protect_audit_records()",
        "drop function append_audit_record()",
        "drop function canonical_json(jsonb)",
    ):
        op.get_bind().exec_driver_sql(statement)
