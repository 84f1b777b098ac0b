"""Store the language that a user has chosen for the pages."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("language", sa.String()))


def downgrade() -> None:
    op.drop_column("users", "language")
