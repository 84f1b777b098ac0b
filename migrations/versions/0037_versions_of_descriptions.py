"""Store the versions of the descriptions of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_descriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_descriptions")),
        *[
            sa.ForeignKeyConstraint(
                [f"{owner}_id"],
                [f"{owner}s.id"],
                name=op.f(f"fk_task_descriptions_{owner}_id"),
                ondelete=on_delete,
            )
            for owner, on_delete in [
                ("task", "CASCADE"),
                ("agent", "SET NULL"),
                ("user", "SET NULL"),
            ]
        ],
    )
    op.create_index(
        op.f("ix_task_descriptions_task_id_created_at"),
        "task_descriptions",
        ["task_id", "created_at"],
    )
    op.create_index(op.f("ix_task_descriptions_agent_id"), "task_descriptions", ["agent_id"])


def downgrade() -> None:
    op.drop_table("task_descriptions")
