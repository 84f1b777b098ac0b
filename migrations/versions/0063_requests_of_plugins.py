"""Allow requests of gateways for an action of a plugin."""

from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None

NAME = "ck_gateway_requests_kind"


def upgrade() -> None:
    """Allow the kind `plugin`."""
    op.drop_constraint(op.f(NAME), "gateway_requests")
    op.create_check_constraint(
        op.f(NAME), "gateway_requests", "kind in ('exec', 'question', 'plugin')"
    )


def downgrade() -> None:
    """Delete the requests of plugins, which an earlier version cannot show."""
    op.execute("delete from gateway_requests where kind = 'plugin'")
    op.drop_constraint(op.f(NAME), "gateway_requests")
    op.create_check_constraint(op.f(NAME), "gateway_requests", "kind in ('exec', 'question')")
