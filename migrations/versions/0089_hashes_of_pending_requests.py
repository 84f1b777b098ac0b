"""Store the hash of kind and payload of pending approvals that were requested before it existed."""

from alembic import op

revision = "0089"
down_revision = "0088"
branch_labels = None
depends_on = None

FILL = """
    update approvals
    set equality_hash =
        encode(sha256(convert_to(action_type || ' ' || payload::text, 'UTF8')), 'hex')
    where status = 'pending' and equality_hash is null
"""


def upgrade() -> None:
    op.execute(FILL)


def downgrade() -> None:
    pass
