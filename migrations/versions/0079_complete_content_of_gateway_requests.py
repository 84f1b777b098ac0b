"""Store everything that a gateway sends with an approval, and what lists show of a request.

Requests from before have no content, and older code inserts none. An approval that waits is
completed once, when its gateway lists it. Older code inserts no title and not whether something is
masked; both are then determined from what it inserts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True)

KEEP = """
    create or replace function keep_gateway_requests() returns trigger language plpgsql as $$
    begin
        if (old.organization_id, old.request_id, old.kind, old.agent_key, old.session_key,
            old.run_id, old.exact, old.cwd, old.context, old.allowed_decisions, old.asked_at)
            is distinct from
            (new.organization_id, new.request_id, new.kind, new.agent_key, new.session_key,
            new.run_id, new.exact, new.cwd, new.context, new.allowed_decisions, new.asked_at)
            or new.gateway_id <> old.gateway_id
            or {is_content_changed}
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
HASH_CHANGED = "new.sha256 is distinct from old.sha256"
CONTENT_CHANGED = """(
                (old.title, old.sha256, old.is_masked, old.content)
                is distinct from (new.title, new.sha256, new.is_masked, new.content)
                and not (old.content is null and new.content is not null
                    and old.state = 'waiting' and old.title = new.title)
            )"""

TITLE = r"""
    create function title_of_gateway_request(kind varchar, exact varchar)
    returns varchar language plpgsql immutable as $$
    declare title varchar := exact;
    begin
        begin
            if kind = 'plugin' then
                title := exact::jsonb ->> 'title';
            elsif kind = 'question' then
                title := exact::jsonb -> 0 ->> 'question';
            end if;
        exception when others then  -- JSON that the database cannot read
            title := exact;
        end;
        title := regexp_replace(left(coalesce(title, exact), 10000), '\s+', ' ', 'g');
        return left(btrim(title), 200);
    end $$
"""
IS_MASKED = r"""
    create function is_masked_gateway_request(
        sha256 varchar, exact varchar, cwd varchar, context jsonb
    ) returns boolean language sql immutable as $$
        select sha256 <> sha256_of(exact)
            and concat(exact, cwd, context::text) ~ 'mc_[a-z]+_\*\*\*'
    $$
"""
COMPLETE = """
    update gateway_requests set
        title = title_of_gateway_request(kind, exact),
        is_masked = is_masked_gateway_request(sha256, exact, cwd, context)
"""
HASH = """
    create or replace function hash_gateway_requests() returns trigger language plpgsql as $$
    begin
        new.sha256 := coalesce(new.sha256, sha256_of(new.exact));
        {completion}
        return new;
    end $$
"""
COMPLETION = """
        new.title := coalesce(new.title, title_of_gateway_request(new.kind, new.exact));
        new.is_masked := coalesce(new.is_masked,
            is_masked_gateway_request(new.sha256, new.exact, new.cwd, new.context));
"""


def upgrade() -> None:
    op.add_column("gateway_requests", sa.Column("content", JSON, nullable=True))
    op.add_column("gateway_requests", sa.Column("title", sa.String(), nullable=True))
    op.add_column("gateway_requests", sa.Column("is_masked", sa.Boolean(), nullable=True))
    run = op.get_bind().exec_driver_sql
    run(TITLE)
    run(IS_MASKED)
    run(HASH.format(completion=COMPLETION))
    run(COMPLETE)
    op.alter_column("gateway_requests", "title", nullable=False)
    op.alter_column("gateway_requests", "is_masked", nullable=False)
    run(KEEP.format(is_content_changed=CONTENT_CHANGED))


def downgrade() -> None:
    run = op.get_bind().exec_driver_sql
    run(KEEP.format(is_content_changed=HASH_CHANGED))
    run(HASH.format(completion=""))
    run("drop function title_of_gateway_request, is_masked_gateway_request")
    for name in ("is_masked", "title", "content"):
        op.drop_column("gateway_requests", name)
