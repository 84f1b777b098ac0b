"""Index the names of agents: pickers list those of an organization or a board by name."""

from alembic import op
from sqlalchemy import text

revision = "0095"
down_revision = "0094"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_agents_names", "agents", ["organization_id", text("lower(name)"), "id"])
    columns = ["board_id", text("lower(name)"), "id"]
    op.create_index("ix_agents_names_on_board", "agents", columns)


def downgrade() -> None:
    op.drop_index("ix_agents_names_on_board", "agents")
    op.drop_index("ix_agents_names", "agents")
