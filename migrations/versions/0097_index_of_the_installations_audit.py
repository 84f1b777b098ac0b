"""Index the audit of the installation by number.

In the index of all chains, whose records have no organization here, PostgreSQL does not know that
they are in the order of their numbers.
"""

from alembic import op
from sqlalchemy import text

revision = "0097"
down_revision = "0096"
branch_labels = None
depends_on = None

NAME = "ix_audit_records_of_installation"


def upgrade() -> None:
    where = text("organization_id is null")
    op.create_index(op.f(NAME), "audit_records", ["sequence"], postgresql_where=where)


def downgrade() -> None:
    op.drop_index(op.f(NAME), "audit_records")
