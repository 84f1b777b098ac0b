"""Store everything that a gateway sends with an approval.

Requests from before have no content, and older code inserts none.
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
            old.run_id, old.exact, old.sha256, old.cwd, old.context, {content_before}
            old.allowed_decisions, old.asked_at)
            is distinct from
            (new.organization_id, new.request_id, new.kind, new.agent_key, new.session_key,
            new.run_id, new.exact, new.sha256, new.cwd, new.context, {content_after}
            new.allowed_decisions, new.asked_at)
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


def upgrade() -> None:
    op.add_column("gateway_requests", sa.Column("content", JSON, nullable=True))
    op.execute(KEEP.format(content_before="old.content,", content_after="new.content,"))


def downgrade() -> None:
    op.execute(KEEP.format(content_before="", content_after=""))
    op.drop_column("gateway_requests", "content")
