"""Let agents be authors of the versions of files, and index the users who wrote versions.

Without the indexes, the deletion of a user reads all versions.
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_agent_file_versions_user_id": "agent_file_versions",
    "ix_task_descriptions_user_id": "task_descriptions",
}
TABLE, CHECK = "agent_file_versions", "ck_agent_file_versions_author"


def upgrade() -> None:
    op.drop_constraint(op.f(CHECK), TABLE)
    op.create_check_constraint(op.f(CHECK), TABLE, "author in ('user', 'agent', 'sync', 'gateway')")
    for index, table in INDEXES.items():
        op.create_index(op.f(index), table, ["user_id"])


def downgrade() -> None:
    for index, table in INDEXES.items():
        op.drop_index(op.f(index), table)
    op.execute("update agent_file_versions set author = 'gateway' where author = 'agent'")
    op.drop_constraint(op.f(CHECK), TABLE)
    op.create_check_constraint(op.f(CHECK), TABLE, "author in ('user', 'sync', 'gateway')")
