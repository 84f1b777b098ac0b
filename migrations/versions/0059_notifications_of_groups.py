"""Say which notifications are about the notes of a board group."""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.ForeignKey(
        "board_groups.id", ondelete="CASCADE", name="fk_notifications_board_group_id"
    )
    op.add_column("notifications", sa.Column("board_group_id", sa.Uuid(), key))
    op.create_index("ix_notifications_board_group_id", "notifications", ["board_group_id"])
    op.execute(
        """
        update notifications set board_group_id = board_groups.id
        from board_groups where board_groups.id::text = notifications.data ->> 'group_id'
        """
    )


def downgrade() -> None:
    op.drop_column("notifications", "board_group_id")
