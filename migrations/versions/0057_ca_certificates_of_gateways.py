"""Store the CA certificates that the certificate of a gateway is verified with."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

TABLES = ("gateways", "gateway_departures")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("ca_certificates", sa.String()))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "ca_certificates")
