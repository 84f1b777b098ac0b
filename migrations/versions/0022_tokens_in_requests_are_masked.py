"""Mask our tokens in stored gateway requests, and store the hash of the unmasked content.

Older code inserts no hash; it is then computed from the content that it inserts.
"""

from alembic import op

revision = "0022"
down_revision = "0018"
branch_labels = None
depends_on = None

HASH = """
    create function hash_gateway_requests() returns trigger language plpgsql as $$
    begin
        new.sha256 := coalesce(new.sha256, sha256_of(new.exact));
        return new;
    end $$
"""
HASHED = """
    create trigger hash before insert on gateway_requests
    for each row execute function hash_gateway_requests()
"""
KEEP = """
    create or replace function keep_gateway_requests() returns trigger language plpgsql as $$
    begin
        if (old.organization_id, old.request_id, old.kind, old.agent_key, old.session_key,
            old.run_id, old.exact, old.sha256, old.cwd, old.context, old.allowed_decisions,
            old.asked_at)
            is distinct from
            (new.organization_id, new.request_id, new.kind, new.agent_key, new.session_key,
            new.run_id, new.exact, new.sha256, new.cwd, new.context, new.allowed_decisions,
            new.asked_at)
            or new.gateway_id <> old.gateway_id
        then
            raise exception 'what was asked is never changed';
        end if;
        if old.answered_at is not null and (
            (old.answer, old.answered_by, old.answered_at)
            is distinct from (new.answer, new.answered_by, new.answered_at)
            or new.answered_by_user_id <> old.answered_by_user_id)
        then
            raise exception 'what was answered is never changed';
        end if;
        return new;
    end $$
"""
MASK = r"""
    update gateway_requests set
        exact = regexp_replace(exact, pattern, mask, 'g'),
        cwd = regexp_replace(cwd, pattern, mask, 'g'),
        context = regexp_replace(context::text, pattern, mask, 'g')::jsonb,
        error = regexp_replace(error, pattern, mask, 'g')
    from (values ('(mc_[a-z]+_)[A-Za-z0-9_-]{4,}', '\1***')) as tokens(pattern, mask)
    where concat(exact, cwd, context::text, error) ~ pattern
"""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    run("alter table gateway_requests alter column sha256 drop expression")
    run(HASH)
    run(HASHED)
    run("alter table gateway_requests disable trigger keep")
    run(MASK)
    run("alter table gateway_requests enable trigger keep")
    run(KEEP)
