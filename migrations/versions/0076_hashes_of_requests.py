"""Store the hash of what was requested, which no decision overwrites.

`action_hash` is bound again when somebody approves changed content, also if that approval is undone
or is the first of two. The hash of the request is in the event of the request. Where it is not
known, and for requests that the previous version stores meanwhile, an approval has to name the
content.
"""

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("approvals", sa.Column("requested_hash", sa.String(), nullable=True))
    op.execute("""
        update approvals set requested_hash = events.data ->> 'action_hash'
        from activity_events as events
        where approvals.status = 'pending'
        and events.board_id = approvals.board_id
        and events.approval_id = approvals.id
        and events.type = 'approval.requested'
    """)


def downgrade() -> None:
    op.drop_column("approvals", "requested_hash")
