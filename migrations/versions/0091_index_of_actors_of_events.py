"""Index the actors of events: an account is deleted, and a page filtered, by them."""

from alembic import op

revision = "0091"
down_revision = "0090"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_event_origins_actor_id"), "event_origins", ["actor_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_event_origins_actor_id"), "event_origins")
