"""Add the indexes by which lists are read in their order, and tasks by the time they were done."""

from alembic import op

revision = "0114"
down_revision = "0113"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_agents_newest": "agents (organization_id, created_at, id)",
    "ix_gateway_requests_ended": "gateway_requests (organization_id, ended_at, created_at, id)",
    "ix_tasks_done_at": "tasks (done_at) where done_at is not null",
    "ix_tasks_undated": """tasks (
        board_id, array_position(array['high', 'medium', 'low'], priority), created_at desc, id
    ) where due_at is null and status <> 'done'""",
    "ix_tool_grants_newest": "tool_grants (agent_id, created_at, id)",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"drop index concurrently if exists {name}")
            op.execute(f"create index concurrently {name} on {columns}")
