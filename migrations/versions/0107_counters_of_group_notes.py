"""Count the notes and chat messages of each group of boards that are not blank.

Triggers maintain the numbers for every writer, also for servers of the previous version. Writers of
notes wait while the migration runs. See docs/decisions/counters.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0107"
down_revision = "0106"
branch_labels = None
depends_on = None

TABLE = "board_group_counts"
ADD_NOTES = r"""
    insert into {schema}.board_group_counts as kept (board_group_id, notes, chat_messages)
    select board_group_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from ({source}) changed
    where content ~ '\S'
        and exists (select from {schema}.board_groups where id = changed.board_group_id)
    group by board_group_id order by board_group_id
    on conflict (board_group_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
"""
CHANGED = (
    "old.board_group_id, old.is_chat, old.content",
    "new.board_group_id, new.is_chat, new.content",
)
PAIRS = (
    f"select * from (values ({CHANGED[0]}, -1), ({CHANGED[1]}, 1))"  # noqa: S608
    " as pairs (board_group_id, is_chat, content, sign)"
)
TRIGGERS = {
    "insert": ("select *, 1 as sign from rows", "referencing new table as rows for each statement"),
    "delete": (
        "select *, -1 as sign from rows",
        "referencing old table as rows for each statement",
    ),
    "update": (PAIRS, f"for each row when (({CHANGED[0]}) is distinct from ({CHANGED[1]}))"),
}
"""The changed rows with their signs, and when a trigger is called, by operation."""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    schema = run("select quote_ident(current_schema())").scalar_one()
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("board_group_id", sa.Uuid(), nullable=False),
        sa.Column("notes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("chat_messages", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.ForeignKeyConstraint(
            ["board_group_id"],
            ["board_groups.id"],
            name=op.f(f"fk_{TABLE}_board_group_id_board_groups"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("board_group_id", name=op.f(f"uq_{TABLE}_board_group_id")),
    )
    for operation, (source, rows) in TRIGGERS.items():
        name = f"count_board_group_memory_at_{operation}"
        body = ADD_NOTES.format(schema=schema, source=source)
        run(
            f"create function {name}() returns trigger language plpgsql as"
            f" $$ begin {body} return null; end $$"
        )
        run(
            f"create trigger {name} after {operation} on board_group_memory {rows}"
            f" execute function {name}()"
        )
    run(ADD_NOTES.format(schema=schema, source="select *, 1 as sign from board_group_memory"))


def downgrade() -> None:
    for operation in TRIGGERS:
        op.execute(f"drop trigger count_board_group_memory_at_{operation} on board_group_memory")
        op.execute(f"drop function count_board_group_memory_at_{operation}()")
    op.drop_table(TABLE)
