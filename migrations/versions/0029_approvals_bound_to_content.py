"""Store what an approval allows: the reviewed content, its hash, its use and its expiry.

Approvals from before have no hash. A pending one is bound to the content at its decision; an
approved one no longer allows tasks to be moved to done, because nobody knows what was reviewed.

A request of a gateway is identified by its id and the hash of everything that will run. The
previous version names the constraint that this replaces in ON CONFLICT, so all its servers and
workers must be stopped before (docs/install.md).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True)
MOMENT = sa.DateTime(timezone=True)

APPROVAL_COLUMNS = {
    "action_hash": sa.String(),
    "completes_tasks": sa.Boolean(),
    "expires_at": MOMENT,
}
LINK_COLUMNS = {"content": JSON, "content_hash": sa.String(), "used_at": MOMENT}

COUNT_IN_TRASH = """
    update trash set rows = rows || jsonb_build_object('approvals', (
        select coalesce(jsonb_agg(jsonb_build_object('request_count', 1) || stored), '[]')
        from jsonb_array_elements(rows -> 'approvals') as stored
    ))
    where jsonb_array_length(rows -> 'approvals') > 0
"""
UNIQUE_BEFORE, UNIQUE = (
    "uq_gateway_requests_gateway_id_request_id",
    "uq_gateway_requests_gateway_id_request_id_sha256",
)
UNIQUE_COLUMNS = ["gateway_id", "request_id", "sha256"]
KEEP_LATEST = """
    delete from gateway_requests as older using gateway_requests as newer
    where older.gateway_id = newer.gateway_id and older.request_id = newer.request_id
    and (older.created_at, older.id) < (newer.created_at, newer.id)
"""


def upgrade() -> None:
    for name, type in APPROVAL_COLUMNS.items():
        op.add_column("approvals", sa.Column(name, type, nullable=True))
    count = sa.Column("request_count", sa.Integer(), server_default="1", nullable=False)
    op.add_column("approvals", count)
    for name, type in LINK_COLUMNS.items():
        op.add_column("approval_task_links", sa.Column(name, type, nullable=True))
    run = op.get_bind().exec_driver_sql
    run(COUNT_IN_TRASH)
    op.drop_constraint(op.f(UNIQUE_BEFORE), "gateway_requests")
    op.create_unique_constraint(op.f(UNIQUE), "gateway_requests", UNIQUE_COLUMNS)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(KEEP_LATEST)
    op.drop_constraint(op.f(UNIQUE), "gateway_requests")
    op.create_unique_constraint(op.f(UNIQUE_BEFORE), "gateway_requests", UNIQUE_COLUMNS[:2])
    for name in LINK_COLUMNS:
        op.drop_column("approval_task_links", name)
    for name in ("request_count", *APPROVAL_COLUMNS):
        op.drop_column("approvals", name)
