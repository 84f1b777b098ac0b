"""Add the data of the dashboard's metrics: when tasks were done, and their status changes.

Existing events of deleted and restored tasks receive the status that the task had.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ADD_STATUS = """
    update activity_events as event
    set data = event.data || jsonb_build_object(:key, coalesce(
        (
            select earlier.data ->> 'entered' from activity_events earlier
            where earlier.task_id = event.task_id
                and earlier.seq < event.seq
                and earlier.type in ('task.created', 'task.status_changed')
            order by earlier.seq desc limit 1
        ),
        'inbox'
    ))
    where event.type = :type and not event.data ? :key
"""


def upgrade() -> None:
    op.create_index(
        op.f("ix_tasks_board_id_done_at"), "tasks", ["board_id", "done_at"], unique=False
    )
    op.create_index(
        op.f("ix_activity_events_board_id_type_created_at"),
        "activity_events",
        ["board_id", "type", "created_at"],
        unique=False,
    )
    for type, key in (("task.deleted", "left"), ("task.restored", "entered")):
        statement = sa.text(ADD_STATUS).bindparams(
            sa.bindparam("key", key, type_=sa.Text()), sa.bindparam("type", type, type_=sa.Text())
        )
        op.get_bind().execute(statement)
