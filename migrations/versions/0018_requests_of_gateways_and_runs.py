"""Create gateway requests and runs.

A trigger rejects changes of a recorded request and of a recorded answer.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0020"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
MOMENT = sa.DateTime(timezone=True)

HASH = """
    create function sha256_of(said varchar) returns varchar language sql immutable parallel safe
    return encode(sha256(convert_to(said, 'UTF8')), 'hex')
"""
KEEP = """
    create function keep_gateway_requests() returns trigger language plpgsql as $$
    begin
        if (old.organization_id, old.request_id, old.kind, old.agent_key, old.session_key,
            old.run_id, old.exact, old.cwd, old.context, old.allowed_decisions, old.asked_at)
            is distinct from
            (new.organization_id, new.request_id, new.kind, new.agent_key, new.session_key,
            new.run_id, new.exact, new.cwd, new.context, new.allowed_decisions, new.asked_at)
            or new.gateway_id <> old.gateway_id
        then
            raise exception 'what was asked is never changed';
        end if;
        if old.answered_at is not null and (
            (old.answer, old.answered_by, old.answered_at)
            is distinct from (new.answer, new.answered_by, new.answered_at)
            or new.answered_by_user_id <> old.answered_by_user_id)
        then
            raise exception 'what was answered is never changed';
        end if;
        return new;
    end $$
"""
KEPT = """
    create trigger keep before update on gateway_requests
    for each row execute function keep_gateway_requests()
"""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    run(HASH)
    _requests()
    run(KEEP)
    run(KEPT)
    _runs()


def _requests() -> None:
    op.create_table(
        "gateway_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("gateway_name", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("kind", _words("requestkind", "exec", "question"), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("agent_key", sa.String(), nullable=True),
        sa.Column("session_key", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("exact", sa.String(), nullable=False),
        sa.Column(
            "sha256", sa.String(), sa.Computed("sha256_of(exact)", persisted=True), nullable=False
        ),
        sa.Column("cwd", sa.String(), nullable=True),
        sa.Column("context", JSON, nullable=True),
        sa.Column("allowed_decisions", JSON, nullable=False),
        sa.Column("state", _words("requeststate", *STATES), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("answer", JSON, nullable=True),
        sa.Column("answered_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("answered_by", sa.String(), nullable=True),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind in ('exec', 'question')", name=op.f("ck_gateway_requests_kind")),
        sa.CheckConstraint(
            "state in ('waiting', 'answering', 'answered', 'lost', 'expired', 'cancelled')",
            name=op.f("ck_gateway_requests_state"),
        ),
        sa.CheckConstraint(
            "state not in ('answering', 'answered') or (answer is not null"
            " and answered_at is not null and answered_by is not null)",
            name=op.f("ck_gateway_requests_answer"),
        ),
        sa.CheckConstraint(
            "state <> 'waiting' or answered_at is null", name=op.f("ck_gateway_requests_waiting")
        ),
        _refers("gateway_requests", "organization_id", "organizations", "CASCADE"),
        _refers("gateway_requests", "gateway_id", "gateways", "SET NULL"),
        _refers("gateway_requests", "agent_id", "agents", "SET NULL"),
        _refers("gateway_requests", "board_id", "boards", "SET NULL"),
        _refers("gateway_requests", "answered_by_user_id", "users", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_requests")),
        sa.UniqueConstraint(
            "gateway_id", "request_id", name=op.f("uq_gateway_requests_gateway_id_request_id")
        ),
    )
    for columns in (
        ["agent_id"],
        ["answered_by_user_id"],
        ["board_id", "state"],
        ["organization_id", "created_at"],
        ["state", "expires_at"],
    ):
        _index("gateway_requests", columns)


def _runs() -> None:
    op.create_table(
        "agent_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("session_key", sa.String(), nullable=False),
        sa.Column("is_heartbeat", sa.Boolean(), nullable=False),
        sa.Column("status", _words("runstatus", *STATUSES), nullable=False),
        sa.Column("phase", sa.String(), nullable=True),
        sa.Column("tool", sa.String(), nullable=True),
        sa.Column("tool_title", sa.String(), nullable=True),
        sa.Column("tool_calls", JSON, nullable=False),
        sa.Column("tail", sa.String(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "status in ('running', 'ended', 'failed', 'aborted', 'lost')",
            name=op.f("ck_agent_runs_status"),
        ),
        sa.CheckConstraint(
            "(status = 'running') = (ended_at is null)", name=op.f("ck_agent_runs_ended_at")
        ),
        _refers("agent_runs", "organization_id", "organizations", "CASCADE"),
        _refers("agent_runs", "gateway_id", "gateways", "CASCADE"),
        _refers("agent_runs", "agent_id", "agents", "CASCADE"),
        _refers("agent_runs", "task_id", "tasks", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_runs")),
        sa.UniqueConstraint("gateway_id", "run_id", name=op.f("uq_agent_runs_gateway_id_run_id")),
    )
    for columns in (
        ["organization_id"],
        ["agent_id", "started_at"],
        ["task_id", "started_at"],
        ["status", "updated_at"],
    ):
        _index("agent_runs", columns)


STATES = ("waiting", "answering", "answered", "lost", "expired", "cancelled")
STATUSES = ("running", "ended", "failed", "aborted", "lost")


def _words(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=40)


def _refers(table: str, column: str, to: str, ondelete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=ondelete)


def _index(table: str, columns: list[str]) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns, unique=False)
