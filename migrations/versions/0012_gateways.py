"""Create gateways, and assign boards and agents to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateways",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("workspace_root", sa.String(), nullable=False),
        sa.Column("allow_insecure_tls", sa.Boolean(), nullable=False),
        sa.Column("disable_device_pairing", sa.Boolean(), nullable=False),
        sa.Column("sealed_token", sa.String(), nullable=True),
        sa.Column("sealed_device", sa.String(), nullable=False),
        sa.Column("sealed_device_token", sa.String(), nullable=True),
        sa.Column("gateway_version", sa.String(), nullable=True),
        sa.Column(
            "checks", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_by", sa.String(), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(held_by is null) = (held_until is null)", name=op.f("ck_gateways_held")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_gateways_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sa.UniqueConstraint(
            "organization_id", "name", name=op.f("uq_gateways_organization_id_name")
        ),
    )
    op.create_index(op.f("ix_gateways_url"), "gateways", ["url"], unique=False)
    for table in ("boards", "agents"):
        # Gateways did not exist before, so existing ids refer to nothing.
        op.execute(f"update {table} set gateway_id = null where gateway_id is not null")  # noqa: S608
        op.create_foreign_key(
            op.f(f"fk_{table}_gateway_id"), table, "gateways", ["gateway_id"], ["id"]
        )
    op.create_index(
        "uq_agents_one_main_per_gateway",
        "agents",
        ["gateway_id"],
        unique=True,
        postgresql_where="board_id is null",
    )
