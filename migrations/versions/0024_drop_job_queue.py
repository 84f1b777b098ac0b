"""Drop the tables of pgqueuer: the worker finds what is due in the rows themselves.

No pending work is lost. A queued job only named a board; the approvals to finalize have always been
read from `approvals` (status pending, decided_status set, settles_at reached), and still are.
"""

import runpy
from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

CREATED_BY = Path(__file__).with_name("0002_jobs.py")


def upgrade() -> None:
    for statement in (
        "SET LOCAL lock_timeout = '10s'",  # a forgotten worker may still read the tables
        "DROP TABLE pgqueuer_statistics, pgqueuer_schedules, pgqueuer_log, pgqueuer",
        "DROP FUNCTION fn_pgqueuer_changed()",
        "DROP TYPE pgqueuer_status",
    ):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Create the empty tables. The former worker also finalized approvals without the queue."""
    runpy.run_path(str(CREATED_BY))["upgrade"]()
