"""Store what provisioning writes to the configurations of gateways."""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

TABLE = "gateway_config_changes"


def upgrade() -> None:
    gateway = sa.ForeignKey("gateways.id", ondelete="CASCADE")
    time = sa.DateTime(timezone=True)
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("gateway_id", sa.Uuid(), gateway, nullable=False),
        sa.Column("agent_key", sa.String(), nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("agent_name", sa.String()),
        sa.Column("board_id", sa.Uuid()),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("diff", sa.String(), nullable=False),
        sa.Column("cause_id", sa.Uuid()),
        sa.Column("created_at", time, nullable=False),
        sa.Column("confirmed_at", time),
        sa.CheckConstraint("kind in ('added', 'changed', 'removed')", name="kind"),
    )
    op.create_index(f"ix_{TABLE}_gateway_id_id", TABLE, ["gateway_id", "id"])


def downgrade() -> None:
    op.drop_table(TABLE)
