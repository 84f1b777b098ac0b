"""Count the open dependencies of each task, so that blocked tasks are read from an index.

Triggers maintain the number: with each dependency that is added or removed, and when a task becomes
done or open again. All of these changes hold the lock of the board. The number is counted anew each
time instead of being changed by one, because a deleted task is no longer there to be asked for its
status. Rows that the trash restores start with 0. See docs/decisions/counters.md.
"""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

OPEN_DEPENDENCIES = """
    select task_id, count(*) as number
    from {schema}.task_dependencies
    join {schema}.tasks as other on other.id = depends_on_task_id
    where other.status <> 'done' and task_id = any(ids)
    group by task_id
"""
STATEMENTS = (
    "alter table {schema}.tasks add column open_dependency_count integer not null default 0",
    f"""
    create function {{schema}}.count_open_dependencies(ids uuid[]) returns void language sql as $$
        update {{schema}}.tasks set open_dependency_count = coalesce(counted.number, 0)
        from unnest(ids) as changed (id)
        left join ({OPEN_DEPENDENCIES}) as counted on counted.task_id = changed.id
        where tasks.id = changed.id and open_dependency_count <> coalesce(counted.number, 0)
    $$
    """,  # noqa: S608 - the parts are constants
    """
    create function {schema}.count_changed_dependencies() returns trigger language plpgsql as $$
    begin
        if tg_op <> 'INSERT' then
            perform {schema}.count_open_dependencies(array[old.task_id]);
        end if;
        if tg_op <> 'DELETE' then
            perform {schema}.count_open_dependencies(array[new.task_id]);
        end if;
        return null;
    end $$
    """,
    """
    create function {schema}.count_dependencies_of_dependents() returns trigger
        language plpgsql as $$
    begin
        perform {schema}.count_open_dependencies(
            array(select task_id from {schema}.task_dependencies where depends_on_task_id = new.id)
        );
        return null;
    end $$
    """,
    """
    create function {schema}.start_without_dependencies() returns trigger language plpgsql as $$
    begin
        new.open_dependency_count := 0;
        return new;
    end $$
    """,
    """
    create trigger count_changed_dependencies
        after insert or delete or update of task_id, depends_on_task_id
        on {schema}.task_dependencies
        for each row execute function {schema}.count_changed_dependencies()
    """,
    """
    create trigger count_dependencies_of_dependents after update of status on {schema}.tasks
        for each row when ((old.status = 'done') is distinct from (new.status = 'done'))
        execute function {schema}.count_dependencies_of_dependents()
    """,
    """
    create trigger start_without_dependencies before insert on {schema}.tasks
        for each row when (new.open_dependency_count is distinct from 0)
        execute function {schema}.start_without_dependencies()
    """,
    """
    select {schema}.count_open_dependencies(array(select task_id from {schema}.task_dependencies))
    """,
    "create index ix_tasks_blocked on {schema}.tasks (board_id, status, rank)"
    " where open_dependency_count > 0",
)


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    schema = run("select quote_ident(current_schema())").scalar_one()
    for statement in STATEMENTS:
        run(statement.format(schema=schema))


def downgrade() -> None:
    for trigger, table in (
        ("count_changed_dependencies", "task_dependencies"),
        ("count_dependencies_of_dependents", "tasks"),
        ("start_without_dependencies", "tasks"),
    ):
        op.execute(f"drop trigger {trigger} on {table}")
        op.execute(f"drop function {trigger}()")
    op.execute("drop function count_open_dependencies(uuid[])")
    op.drop_index("ix_tasks_blocked", "tasks")
    op.drop_column("tasks", "open_dependency_count")
