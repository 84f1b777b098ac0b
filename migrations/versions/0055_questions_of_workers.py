"""Let workers ask people on boards that allow it."""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "boards",
        sa.Column(
            "workers_may_ask_people", sa.Boolean(), nullable=False, server_default=sa.false()
        ),
    )
    op.create_table(
        "agent_questions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("board_id", "boards", "CASCADE"),
        reference("task_id", "tasks", "SET NULL"),
        reference("agent_id", "agents", "CASCADE"),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("correlation_id", sa.String()),
        sa.Column("answer", sa.String()),
        reference("answered_by_user_id", "users", "SET NULL"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(answer is null) = (answered_at is null)", name="ck_agent_questions_answer"
        ),
    )
    for name in ("board_id", "task_id", "agent_id", "answered_by_user_id"):
        op.create_index(f"ix_agent_questions_{name}", "agent_questions", [name])
    op.create_index(
        "ix_agent_questions_open",
        "agent_questions",
        ["board_id"],
        postgresql_where=sa.text("answered_at is null"),
    )


def reference(name: str, target: str, on_delete: str) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete=on_delete)
    return sa.Column(name, sa.Uuid(), key, nullable=on_delete == "SET NULL")


def downgrade() -> None:
    op.drop_table("agent_questions")
    op.drop_column("boards", "workers_may_ask_people")
