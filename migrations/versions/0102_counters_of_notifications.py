"""Count the notifications of each user, and index them in the order of their list.

Triggers maintain the numbers for every writer, also for servers of the previous version. Writers of
notifications wait while the migration runs. See docs/decisions/counters.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0102"
down_revision = "0101"
branch_labels = None
depends_on = None

KEY = "user_id, organization_id, kind, board_id, board_group_id"
ADD_NOTIFICATIONS = """
    insert into {schema}.notification_counts as kept ({key}, count)
    select {key}, {sign} * count(*) from {source} changed
    where exists (select from {schema}.users where id = changed.user_id)
        and exists (select from {schema}.organizations where id = changed.organization_id)
        and (
            board_id is null or exists (select from {schema}.boards where id = changed.board_id)
        )
        and (
            board_group_id is null
            or exists (select from {schema}.board_groups where id = changed.board_group_id)
        )
    group by {key} order by {key}
    on conflict ({key}) do update set count = kept.count + excluded.count;
"""
OWNERS = {
    "user_id": "users",  # the first column of the unique index
    "organization_id": "organizations",
    "board_id": "boards",
    "board_group_id": "board_groups",
}
"""The table of the rows with which a counter is deleted, by column."""
TRIGGERS = {"insert": ("new", "1"), "delete": ("old", "-1")}
"""The changed rows, and their sign, by operation. No update changes the key of a counter."""

NAME, OLD_COLUMNS = "ix_notifications", ["user_id", "organization_id", "updated_at"]
COLUMNS = ["user_id", "updated_at", "id"]


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    schema = run("select quote_ident(current_schema())").scalar_one()
    id = sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)
    op.create_table(
        "notification_counts",
        id,
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("board_group_id", sa.Uuid(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [name], [f"{table}.id"], name=f"fk_notification_counts_{name}", ondelete="CASCADE"
            )
            for name, table in OWNERS.items()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_notification_counts"),
        sa.UniqueConstraint(
            *KEY.split(", "),
            name="uq_notification_counts_key",
            postgresql_nulls_not_distinct=True,
        ),
    )
    run("alter table notification_counts set (fillfactor = 50)")  # updates change no index
    for name in list(OWNERS)[1:]:
        op.create_index(f"ix_notification_counts_{name}", "notification_counts", [name])
    for operation, (kind, sign) in TRIGGERS.items():
        name = f"count_notifications_at_{operation}"
        body = ADD_NOTIFICATIONS.format(schema=schema, key=KEY, source="rows", sign=sign)
        run(
            f"create function {name}() returns trigger language plpgsql as"
            f" $$ begin {body} return null; end $$"
        )
        run(
            f"create trigger {name} after {operation} on notifications"
            f" referencing {kind} table as rows for each statement execute function {name}()"
        )
    source = f"{schema}.notifications"
    run(ADD_NOTIFICATIONS.format(schema=schema, key=KEY, source=source, sign="1"))
    op.create_index(f"{NAME}_{'_'.join(COLUMNS)}", "notifications", COLUMNS)
    op.drop_index(f"{NAME}_{'_'.join(OLD_COLUMNS)}", "notifications")


def downgrade() -> None:
    op.create_index(f"{NAME}_{'_'.join(OLD_COLUMNS)}", "notifications", OLD_COLUMNS)
    op.drop_index(f"{NAME}_{'_'.join(COLUMNS)}", "notifications")
    for operation in TRIGGERS:
        op.execute(f"drop trigger count_notifications_at_{operation} on notifications")
        op.execute(f"drop function count_notifications_at_{operation}()")
    op.drop_table("notification_counts")
