"""Count the notes and chat messages of each board that are not blank.

Triggers maintain the numbers for every writer, also for servers of the previous version. Writers of
notes wait while the migration runs. See docs/decisions/counters.md.
"""

from alembic import op

revision = "0096"
down_revision = "0095"
branch_labels = None
depends_on = None

COUNTERS = ("notes", "chat_messages")
ADD_NOTES = r"""
    insert into {schema}.board_counts as kept (board_id, notes, chat_messages)
    select board_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from ({source}) changed
    where content ~ '\S' and exists (select from {schema}.boards where id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
"""
CHANGED = "old.board_id, old.is_chat, old.content", "new.board_id, new.is_chat, new.content"
PAIRS = (
    f"select * from (values ({CHANGED[0]}, -1), ({CHANGED[1]}, 1))"  # noqa: S608
    " as pairs (board_id, is_chat, content, sign)"
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
    for name in COUNTERS:
        run(f"alter table board_counts add column {name} integer not null default 0")
    for operation, (source, rows) in TRIGGERS.items():
        name = f"count_board_memory_at_{operation}"
        body = ADD_NOTES.format(schema=schema, source=source)
        run(
            f"create function {name}() returns trigger language plpgsql as"
            f" $$ begin {body} return null; end $$"
        )
        run(
            f"create trigger {name} after {operation} on board_memory {rows}"
            f" execute function {name}()"
        )
    run(ADD_NOTES.format(schema=schema, source="select *, 1 as sign from board_memory"))


def downgrade() -> None:
    for operation in TRIGGERS:
        op.execute(f"drop trigger count_board_memory_at_{operation} on board_memory")
        op.execute(f"drop function count_board_memory_at_{operation}()")
    for name in COUNTERS:
        op.drop_column("board_counts", name)
