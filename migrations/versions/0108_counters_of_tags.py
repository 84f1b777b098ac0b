"""Count the tasks of each tag on each board.

Triggers maintain the numbers for every writer, also for servers of the previous version. Writers of
tasks and their tags wait while the migration runs. See docs/decisions/counters.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0108"
down_revision = "0107"
branch_labels = None
depends_on = None

TABLE = "tag_counts"
ADD_TASKS = """
    insert into {schema}.tag_counts as kept (tag_id, board_id, tasks)
    select assigned.tag_id, task.board_id, count(*)
    from {source} assigned join {schema}.tasks task on task.id = assigned.task_id
    group by 1, 2 order by 1, 2
    on conflict (tag_id, board_id) do update set tasks = kept.tasks + excluded.tasks;
"""
REMOVE_TASKS = """
    update {schema}.tag_counts kept set tasks = kept.tasks - removed.tasks
    from (
        select assigned.tag_id, task.board_id, count(*) as tasks
        from rows assigned join {schema}.tasks task on task.id = assigned.task_id
        group by 1, 2
    ) removed
    where kept.tag_id = removed.tag_id and kept.board_id = removed.board_id;
"""
REMOVE_TASK = """
    if exists (select from {schema}.boards where id = old.board_id) then
        update {schema}.tag_counts set tasks = tasks - 1
        where board_id = old.board_id
            and tag_id in (select tag_id from {schema}.tag_assignments where task_id = old.id);
    end if;
"""
TRIGGERS = (
    # The tags of a deleted task are deleted after it, when its board is no longer known.
    ("count_tags_of_deleted_task", "before delete on tasks for each row", REMOVE_TASK, "old"),
    (
        "count_tag_assignments_at_insert",
        "after insert on tag_assignments referencing new table as rows for each statement",
        ADD_TASKS,
        "null",
    ),
    (
        "count_tag_assignments_at_delete",
        "after delete on tag_assignments referencing old table as rows for each statement",
        REMOVE_TASKS,
        "null",
    ),
)
"""The name of each trigger, when it is called, what it does, and what its function returns."""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    schema = run("select quote_ident(current_schema())").scalar_one()
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.ForeignKeyConstraint(
            ["tag_id"], ["tags.id"], name=op.f(f"fk_{TABLE}_tag_id_tags"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f(f"fk_{TABLE}_board_id_boards"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tag_id", "board_id", name=op.f(f"uq_{TABLE}_tag_id_board_id")),
    )
    op.create_index(op.f(f"ix_{TABLE}_board_id"), TABLE, ["board_id"])
    run(f"alter table {TABLE} set (fillfactor = 50)")  # updates change no index
    for name, event, statement, result in TRIGGERS:
        body = statement.format(schema=schema, source="rows")
        run(
            f"create function {name}() returns trigger language plpgsql as"
            f" $$ begin {body} return {result}; end $$"
        )
        run(f"create trigger {name} {event} execute function {name}()")
    run(ADD_TASKS.format(schema=schema, source=f"{schema}.tag_assignments"))


def downgrade() -> None:
    for name, event, _, _ in TRIGGERS:
        table = event.split(" on ")[1].split()[0]
        op.execute(f"drop trigger {name} on {table}")
        op.execute(f"drop function {name}()")
    op.drop_table(TABLE)
