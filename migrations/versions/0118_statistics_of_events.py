"""Set the number of organizations, boards and agents that PostgreSQL assumes for events.

If most events belong to one organization, its sample has no other one. PostgreSQL then assumes that
every event belongs to the organization that it looks for, and reads the numbers of all events
backwards to find the last event of another one. The same holds for boards and agents.
"""

from alembic import op

revision = "0118"
down_revision = "0117"
branch_labels = None
depends_on = None

OWNERS = ("organization_id", "board_id", "agent_id")
EVENTS_PER_OWNER = 100


def upgrade() -> None:
    for column in OWNERS:
        op.execute(
            f"alter table activity_events alter {column} set (n_distinct = {-1 / EVENTS_PER_OWNER})"
        )
    op.execute(f"analyze activity_events ({', '.join(OWNERS)})")
