"""Require that an existing agent of a gateway is linked at most once."""

from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "uq_agents_linked_once",
        "agents",
        ["gateway_id", "openclaw_session_id"],
        unique=True,
        postgresql_where="is_linked",
    )
