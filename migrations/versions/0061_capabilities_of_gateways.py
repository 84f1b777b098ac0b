"""Store what the version of a gateway does not support."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gateways", sa.Column("capabilities", JSONB(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("gateways", "capabilities")
