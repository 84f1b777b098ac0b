"""Add scope and end of tokens, authentication of sessions, questions, and private gateways.

Existing tokens of users may change data and do not expire, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

GATEWAY_TABLES = ("gateways", "gateway_departures")


def upgrade() -> None:
    op.create_table(
        "user_questions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("main_agent_id", sa.Uuid(), nullable=False),
        sa.Column("correlation_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_user_questions_board_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["main_agent_id"],
            ["agents.id"],
            name=op.f("fk_user_questions_main_agent_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_questions")),
    )
    op.create_index(
        op.f("ix_user_questions_board_id_correlation_id"),
        "user_questions",
        ["board_id", "correlation_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_user_questions_main_agent_id"), "user_questions", ["main_agent_id"], unique=False
    )
    # The previous version inserts rows without the new columns while it is still running.
    scope = sa.Column("scope", sa.String(), server_default="write", nullable=False)
    op.add_column("api_tokens", scope)
    op.add_column("api_tokens", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("agent_tokens", sa.Column("ended_at", sa.DateTime(timezone=True)))
    authenticated_at = sa.Column(
        "authenticated_at",
        sa.DateTime(timezone=True),
        server_default=sa.func.now(),
        nullable=False,
    )
    op.add_column("sign_ins", authenticated_at)
    op.execute("UPDATE sign_ins SET authenticated_at = created_at")
    for table in GATEWAY_TABLES:  # existing gateways keep their addresses
        allows_private = sa.Column(
            "allows_private", sa.Boolean(), server_default=sa.true(), nullable=False
        )
        op.add_column(table, allows_private)


def downgrade() -> None:
    for table in GATEWAY_TABLES:
        op.drop_column(table, "allows_private")
    op.drop_column("sign_ins", "authenticated_at")
    op.execute("DELETE FROM agent_tokens WHERE ended_at IS NOT NULL")
    op.drop_column("agent_tokens", "ended_at")
    op.execute("DELETE FROM api_tokens WHERE scope <> 'write' OR expires_at < now()")
    op.drop_column("api_tokens", "expires_at")
    op.drop_column("api_tokens", "scope")
    op.drop_table("user_questions")
