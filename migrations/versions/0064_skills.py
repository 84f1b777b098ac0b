"""Store skills, the packs that they are from, and what gateways were asked to have."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def time(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def json(name: str) -> sa.Column[sa.JSON]:
    return sa.Column(name, JSONB(none_as_null=True), nullable=False)


def reference(name: str, target: str, on_delete: str = "CASCADE") -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete=on_delete)
    return sa.Column(name, sa.Uuid(), key, nullable=on_delete == "SET NULL")


def identifier() -> sa.Column[sa.Uuid]:
    return sa.Column("id", sa.Uuid(), primary_key=True)


def unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, [*columns])


def upgrade() -> None:
    create_packs()
    op.create_table(
        "marketplace_skills",
        identifier(),
        reference("organization_id", "organizations"),
        reference("pack_id", "skill_packs", "SET NULL"),
        text("name"),
        *(text(name, nullable=True) for name in ("description", "category", "risk", "source")),
        text("source_url"),
        text("folder"),
        json("metadata"),
        *(text(name, nullable=True) for name in ("digest", "revision")),
        time("removed_at", nullable=True),
        time("created_at"),
        time("updated_at"),
        unique("marketplace_skills", "organization_id", "source_url"),
    )
    index("marketplace_skills", "organization_id", "created_at")
    index("marketplace_skills", "pack_id")
    op.create_table(
        "skill_versions",
        identifier(),
        reference("skill_id", "marketplace_skills"),
        *(text(name) for name in ("digest", "revision", "source_url")),
        json("files"),
        time("created_at"),
        unique("skill_versions", "skill_id", "digest"),
    )
    create_installations()


def create_packs() -> None:
    op.create_table(
        "skill_packs",
        identifier(),
        reference("organization_id", "organizations"),
        text("name"),
        text("description", nullable=True),
        text("source_url"),
        text("branch"),
        json("metadata"),
        text("revision", nullable=True),
        text("archive_digest", nullable=True),
        json("warnings"),
        time("fetched_at", nullable=True),
        time("created_at"),
        time("updated_at"),
        unique("skill_packs", "organization_id", "source_url"),
    )
    op.create_table(
        "skill_pack_updates",
        identifier(),
        reference("pack_id", "skill_packs"),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        text("archive_digest"),
        text("revision"),
        json("changes"),
        time("fetched_at"),
        unique("skill_pack_updates", "pack_id"),
    )


def create_installations() -> None:
    table = "gateway_installed_skills"
    op.create_table(
        table,
        identifier(),
        reference("gateway_id", "gateways"),
        reference("skill_id", "marketplace_skills"),
        sa.Column("action", sa.String(40), nullable=False),
        text("folder"),
        text("digest", nullable=True),
        text("installed_digest", nullable=True),
        reference("message_id", "agent_messages", "SET NULL"),
        sa.Column("is_listed", sa.Boolean()),
        time("requested_at"),
        time("checked_at", nullable=True),
        time("created_at"),
        time("updated_at"),
        unique(table, "gateway_id", "skill_id"),
    )
    index(table, "skill_id")
    index(table, "message_id")


def downgrade() -> None:
    for table in (
        "gateway_installed_skills",
        "skill_versions",
        "marketplace_skills",
        "skill_pack_updates",
        "skill_packs",
    ):
        op.drop_table(table)
