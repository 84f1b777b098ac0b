"""Store notifications of users, their channels and preferences, and deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def reference(
    name: str, target: str, *, nullable: bool = False, ondelete: str = "CASCADE"
) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete=ondelete)
    return sa.Column(name, sa.Uuid(), key, nullable=nullable)


def column(name: str, type: sa.types.TypeEngine, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, type, nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def identity() -> sa.Column[sa.Uuid]:
    return sa.Column("id", sa.Uuid(), primary_key=True)


def index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, [*columns])


def upgrade() -> None:
    create_notifications()
    create_channels()
    create_preferences()
    create_settings()
    create_deliveries()


def create_notifications() -> None:
    others = ("task_id", "approval_id", "agent_id", "gateway_id", "actor_user_id", "actor_agent_id")
    op.create_table(
        "notifications",
        identity(),
        reference("organization_id", "organizations"),
        reference("user_id", "users"),
        column("kind", sa.String(40)),
        column("key", sa.String(), nullable=True),
        column("merges", sa.Boolean()),
        reference("board_id", "boards", nullable=True),
        *(column(name, sa.Uuid(), nullable=True) for name in others),
        column("data", JSONB()),
        column("count", sa.Integer()),
        *(moment("created_at"), moment("updated_at")),
        *(
            moment(name, nullable=True)
            for name in ("read_at", "resolved_at", "planned_at", "escalated_at")
        ),
        sa.UniqueConstraint("user_id", "kind", "key", name="uq_notifications_user_id_kind_key"),
    )
    index("notifications", "organization_id")
    index("notifications", "board_id")
    index("notifications", "task_id")
    index("notifications", "kind", "key")
    index("notifications", "user_id", "organization_id", "updated_at")
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "organization_id"],
        postgresql_where=sa.text("read_at is null and resolved_at is null"),
    )
    op.create_index(
        "ix_notifications_unplanned",
        "notifications",
        ["created_at"],
        postgresql_where=sa.text("planned_at is null"),
    )


def create_channels() -> None:
    op.create_table(
        "notification_channels",
        identity(),
        reference("user_id", "users"),
        reference("organization_id", "organizations"),
        column("kind", sa.String(40)),
        column("name", sa.String()),
        column("encrypted_config", sa.String()),
        *(moment(name, nullable=True) for name in ("paused_at", "confirmed_at", "failing_since")),
        column("last_error", sa.String(), nullable=True),
        column("version", sa.Integer()),
        *(moment("created_at"), moment("updated_at")),
    )
    index("notification_channels", "user_id")
    index("notification_channels", "organization_id")


def create_preferences() -> None:
    op.create_table(
        "notification_preferences",
        identity(),
        reference("user_id", "users"),
        reference("organization_id", "organizations"),
        column("kind", sa.String(40)),
        reference("board_id", "boards", nullable=True),
        reference("channel_id", "notification_channels", nullable=True),
        column("is_enabled", sa.Boolean()),
        sa.UniqueConstraint(
            *("user_id", "organization_id", "kind", "board_id", "channel_id"),
            name="uq_notification_preferences_choice",
            postgresql_nulls_not_distinct=True,
        ),
    )
    for name in ("organization_id", "board_id", "channel_id"):
        index("notification_preferences", name)


def create_settings() -> None:
    op.create_table(
        "notification_settings",
        identity(),
        reference("user_id", "users"),
        reference("organization_id", "organizations"),
        *(column(name, sa.Time(), nullable=True) for name in ("quiet_from", "quiet_until")),
        column("wakes_for_urgent", sa.Boolean()),
        column("digest", sa.String(40)),
        column("digest_at", sa.Time()),
        reference("escalate_to_user_id", "users", nullable=True, ondelete="SET NULL"),
        column("escalate_after_minutes", sa.Integer(), nullable=True),
        column("version", sa.Integer()),
        moment("updated_at"),
        sa.CheckConstraint(
            "(quiet_from is null) = (quiet_until is null)",
            name=op.f("ck_notification_settings_quiet_hours"),
        ),
        sa.UniqueConstraint(
            "user_id", "organization_id", name="uq_notification_settings_user_id_organization_id"
        ),
    )
    index("notification_settings", "organization_id")
    index("notification_settings", "escalate_to_user_id")


def create_deliveries() -> None:
    op.create_table(
        "notification_deliveries",
        identity(),
        reference("notification_id", "notifications", nullable=True),
        reference("channel_id", "notification_channels"),
        column("state", sa.String(40)),
        column("is_digest", sa.Boolean()),
        column("attempts", sa.Integer()),
        moment("next_attempt_at"),
        *(column(name, sa.String(), nullable=True) for name in LOG_COLUMNS),
        moment("created_at"),
        moment("delivered_at", nullable=True),
        sa.CheckConstraint(
            "state <> 'failed' or last_error is not null",
            name=op.f("ck_notification_deliveries_last_error"),
        ),
        sa.UniqueConstraint(
            *("notification_id", "channel_id"),
            name="uq_notification_deliveries_notification_id_channel_id",
        ),
    )
    index("notification_deliveries", "channel_id", "created_at")
    op.create_index(
        "ix_notification_deliveries_due",
        "notification_deliveries",
        ["next_attempt_at"],
        postgresql_where=sa.text("state in ('queued', 'sending')"),
    )


LOG_COLUMNS = ("last_error", "request", "response")


def downgrade() -> None:
    for table in ("deliveries", "settings", "preferences", "channels"):
        op.drop_table(f"notification_{table}")
    op.drop_table("notifications")
