"""Create the custom fields of tasks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_custom_field_definitions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("field_key", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column(
            "field_type",
            sa.Enum(
                "text",
                "text_long",
                "integer",
                "decimal",
                "boolean",
                "date",
                "date_time",
                "url",
                "json",
                name="fieldtype",
                native_enum=False,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "ui_visibility",
            sa.Enum("always", "if_set", "hidden", name="visibility", native_enum=False, length=40),
            nullable=False,
        ),
        sa.Column("validation_regex", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column(
            "default_value",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_task_custom_field_definitions_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_custom_field_definitions")),
        sa.UniqueConstraint(
            "organization_id",
            "field_key",
            name=op.f("uq_task_custom_field_definitions_organization_id_field_key"),
        ),
    )
    op.create_index(
        op.f("ix_task_custom_field_definitions_organization_id"),
        "task_custom_field_definitions",
        ["organization_id"],
        unique=False,
    )
    op.create_table(
        "board_task_custom_fields",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("task_custom_field_definition_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_board_task_custom_fields_board_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_custom_field_definition_id"],
            ["task_custom_field_definitions.id"],
            name="fk_board_task_custom_fields_definition",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_task_custom_fields")),
        sa.UniqueConstraint(
            "board_id", "task_custom_field_definition_id", name="uq_board_task_custom_fields_pair"
        ),
    )
    op.create_index(
        op.f("ix_board_task_custom_fields_board_id"),
        "board_task_custom_fields",
        ["board_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_board_task_custom_fields_task_custom_field_definition_id"),
        "board_task_custom_fields",
        ["task_custom_field_definition_id"],
        unique=False,
    )
    op.create_table(
        "task_custom_field_values",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("task_custom_field_definition_id", sa.Uuid(), nullable=False),
        sa.Column(
            "value", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_custom_field_definition_id"],
            ["task_custom_field_definitions.id"],
            name="fk_task_custom_field_values_definition",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["tasks.id"],
            name=op.f("fk_task_custom_field_values_task_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_custom_field_values")),
        sa.UniqueConstraint(
            "task_id", "task_custom_field_definition_id", name="uq_task_custom_field_values_pair"
        ),
    )
    op.create_index(
        op.f("ix_task_custom_field_values_task_custom_field_definition_id"),
        "task_custom_field_values",
        ["task_custom_field_definition_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_task_custom_field_values_task_id"),
        "task_custom_field_values",
        ["task_id"],
        unique=False,
    )
