"""Store the public address of the installation, so that all processes use the same one.

The first start of this version stores it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0085"
down_revision = "0084"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "public_addresses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_public_addresses")),
        sa.CheckConstraint(
            "id = '00000000-0000-0000-0000-000000000000'",
            name=op.f("ck_public_addresses_one_row"),
        ),
    )


def downgrade() -> None:
    op.drop_table("public_addresses")
