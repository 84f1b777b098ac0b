"""Add the desired state, the observed state and the next provisioning step of agents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NOTHING = sa.text("'{}'::jsonb")
STEPS = (
    *("create", "listed", "name", "files", "heartbeat", "scratch", "wake", "check_in"),
    "remove",
)

START_PROVISIONING = """
    desired_state = 'running',
    generation = 1,
    step = 'create',
    next_step_at = now(),
    wants_wake = true,
    openclaw_session_id = case
        when board_id is null then 'agent\\:mc-gateway-' || gateway_id || '\\:main'
        when is_board_lead then 'agent\\:lead-' || board_id || '\\:main'
        else 'agent\\:mc-' || id || '\\:main'
    end
"""
"""Start the provisioning of agents that already have a gateway."""


def upgrade() -> None:
    for column in get_agent_columns():
        op.add_column("agents", column)
    op.add_column("agent_tokens", sa.Column("sealed", sa.String(), nullable=True))
    op.create_table(
        "gateway_leftovers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("agent_key", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"],
            ["gateways.id"],
            name=op.f("fk_gateway_leftovers_gateway_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_leftovers")),
        sa.UniqueConstraint(
            "gateway_id", "agent_key", name=op.f("uq_gateway_leftovers_gateway_id_agent_key")
        ),
    )
    op.execute(f"update agents set {START_PROVISIONING} where gateway_id is not null")  # noqa: S608


def get_agent_columns() -> list[sa.Column]:
    """Return the new columns of agents."""
    return [
        sa.Column("is_linked", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("listed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("desired_state", one_of("desiredstate", "running", "gone"), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("observed_generation", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("step", one_of("step", *STEPS), nullable=True),
        sa.Column("step_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("step_deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provision_failure", json(), nullable=True),
        sa.Column("wants_wake", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("woken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wake_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("checkin_deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("written", json(), nullable=False, server_default=NOTHING),
    ]


def one_of(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, length=40)


def json() -> postgresql.JSONB:
    return postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
