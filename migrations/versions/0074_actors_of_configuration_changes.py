"""Store who led to a configuration change of a gateway, and how often it was written."""

import sqlalchemy as sa
from alembic import op

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None

TABLE = "gateway_config_changes"
INDEXES = (["gateway_id", "agent_key"], ["gateway_id", "actor_id", "id"])


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("actor_id", sa.Uuid()))
    op.add_column(TABLE, sa.Column("writes", sa.Integer(), nullable=False, server_default="1"))
    op.execute(
        f"update {TABLE} set actor_id = audit_records.actor_id "  # noqa: S608
        "from audit_records where audit_records.id = cause_id"
    )
    for columns in INDEXES:
        op.create_index(f"ix_{TABLE}_{'_'.join(columns)}", TABLE, columns)


def downgrade() -> None:
    for columns in INDEXES:
        op.drop_index(f"ix_{TABLE}_{'_'.join(columns)}", TABLE)
    op.drop_column(TABLE, "writes")
    op.drop_column(TABLE, "actor_id")
