"""Add the index by which the requests of gateways that were answered today are found."""

from alembic import op

revision = "0117"
down_revision = "0116"
branch_labels = None
depends_on = None

NAME = "ix_gateway_requests_answered"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"drop index concurrently if exists {NAME}")
        op.execute(
            f"create index concurrently {NAME} on gateway_requests (organization_id, answered_at)"
            " where answered_at is not null"
        )
