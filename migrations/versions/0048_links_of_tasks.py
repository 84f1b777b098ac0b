"""Link tasks to issues, pull requests and checks of code hosts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "task_links",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("board_id", "boards"),
        reference("task_id", "tasks"),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("repository", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("commit", sa.String()),
        sa.Column("checks", JSONB(), nullable=False),
        sa.Column("checks_state", sa.String()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.UniqueConstraint("board_id", "key", name="uq_task_links_board_id_key"),
        sa.CheckConstraint("kind in ('issue', 'change', 'check')", name="ck_task_links_kind"),
    )
    op.create_index("ix_task_links_board_id_commit", "task_links", ["board_id", "commit"])
    op.create_index("ix_task_links_task_id_updated_at", "task_links", ["task_id", "updated_at"])


def reference(name: str, target: str) -> sa.Column[sa.Uuid]:
    return sa.Column(
        name, sa.Uuid(), sa.ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=False
    )


def downgrade() -> None:
    op.drop_table("task_links")
