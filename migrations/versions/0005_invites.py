"""Create the invites to organizations."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "organization_invites",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("invited_email", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column(
            "role",
            sa.Enum("owner", "admin", "member", name="role", native_enum=False, length=40),
            nullable=False,
        ),
        sa.Column("all_boards_read", sa.Boolean(), nullable=False),
        sa.Column("all_boards_write", sa.Boolean(), nullable=False),
        sa.Column("created_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("accepted_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["accepted_by_user_id"],
            ["users.id"],
            name=op.f("fk_organization_invites_accepted_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["created_by_user_id"],
            ["users.id"],
            name=op.f("fk_organization_invites_created_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_invites_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_invites")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_organization_invites_token_hash")),
    )
    op.create_index(
        op.f("ix_organization_invites_accepted_by_user_id"),
        "organization_invites",
        ["accepted_by_user_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_organization_invites_created_by_user_id"),
        "organization_invites",
        ["created_by_user_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_organization_invites_invited_email"),
        "organization_invites",
        ["invited_email"],
        unique=False,
    )
    op.create_index(
        op.f("ix_organization_invites_organization_id"),
        "organization_invites",
        ["organization_id"],
        unique=False,
    )
    op.create_index(
        "uq_organization_invites_one_open_per_email",
        "organization_invites",
        ["organization_id", "invited_email"],
        unique=True,
        postgresql_where="accepted_at is null",
    )
    op.create_table(
        "organization_invite_board_access",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_invite_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("can_read", sa.Boolean(), nullable=False),
        sa.Column("can_write", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_organization_invite_board_access_board_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_invite_id"],
            ["organization_invites.id"],
            name=op.f("fk_organization_invite_board_access_organization_invite_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_invite_board_access")),
        sa.UniqueConstraint(
            "organization_invite_id", "board_id", name="uq_organization_invite_board_access_pair"
        ),
    )
    op.create_index(
        op.f("ix_organization_invite_board_access_board_id"),
        "organization_invite_board_access",
        ["board_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_organization_invite_board_access_organization_invite_id"),
        "organization_invite_board_access",
        ["organization_invite_id"],
        unique=False,
    )
