"""Add the turn number and the next attempt of messages that gateways deliver."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agent_messages", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    for name, first in (("run", "1"), ("losses", "0")):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default=first)
        op.add_column("agent_messages", column)
    op.create_check_constraint(op.f("ck_agent_messages_run"), "agent_messages", "run > 0")
    last_error = op.f("ck_agent_messages_last_error")
    op.drop_constraint(last_error, "agent_messages", type_="check")
    op.create_check_constraint(
        last_error, "agent_messages", "state <> 'failed' or last_error is not null"
    )
