"""Store the manual order of the tasks in a column.

Ranks are numbers of any precision, so that there is always one between two others. The rank of a
task is the time when it entered its column, in microseconds, until somebody moves it by hand. Tasks
of the same microsecond get different ranks. The trash holds rows of tasks without a rank.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

ENTERED_AT = "case when status = 'done' then coalesce(done_at, updated_at) else created_at end"
RANK_NOW = "extract(epoch from clock_timestamp()) * 1000000 + random()::numeric"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("rank", sa.Numeric()))
    op.execute(
        f"""
        update tasks set rank = ordered.rank
        from (
            select id, extract(epoch from {ENTERED_AT}) * 1000000
                + row_number() over (order by {ENTERED_AT}, id) / 1000000000.0 as rank
            from tasks
        ) ordered
        where tasks.id = ordered.id
        """  # noqa: S608
    )
    op.execute(
        """
        update trash set rows = jsonb_set(
            rows, '{tasks,0,rank}',
            to_jsonb(extract(epoch from (rows #>> '{tasks,0,created_at}')::timestamptz) * 1000000)
        )
        where rows #> '{tasks,0}' is not null
        """
    )
    op.alter_column("tasks", "rank", nullable=False, server_default=sa.text(RANK_NOW))
    op.create_index("ix_tasks_board_id_status_rank", "tasks", ["board_id", "status", "rank"])
    op.drop_index("ix_tasks_board_id_completed_at", "tasks")


def downgrade() -> None:
    op.create_index(
        "ix_tasks_board_id_completed_at",
        "tasks",
        ["board_id", sa.text("coalesce(done_at, updated_at)")],
        postgresql_where=sa.text("status = 'done'"),
    )
    op.drop_index("ix_tasks_board_id_status_rank", "tasks")
    op.drop_column("tasks", "rank")
