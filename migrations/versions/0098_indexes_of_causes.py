"""Index the approvals of an agent by time, and its requests by run, for the causes of a change.

The indexes replace those of the agent alone.
"""

from alembic import op

revision = "0098"
down_revision = "0097"
branch_labels = None
depends_on = None

ADDED_COLUMNS = {"approvals": "created_at", "gateway_requests": "run_id"}


def upgrade() -> None:
    for table, column in ADDED_COLUMNS.items():
        op.create_index(op.f(f"ix_{table}_agent_id_{column}"), table, ["agent_id", column])
        op.drop_index(op.f(f"ix_{table}_agent_id"), table)


def downgrade() -> None:
    for table, column in ADDED_COLUMNS.items():
        op.create_index(op.f(f"ix_{table}_agent_id"), table, ["agent_id"])
        op.drop_index(op.f(f"ix_{table}_agent_id_{column}"), table)
