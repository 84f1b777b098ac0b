"""Add what the clients of coding agents report: connections, sessions, tool calls, usage."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0092"
down_revision = "0091"
branch_labels = None
depends_on = None

ANNOUNCE_DECISION = """
    create function announce_tool_decision() returns trigger language plpgsql as $$
    begin
        perform pg_notify('mission_control', 'tool-decision:' || new.id);
        return null;
    end $$
"""
"""For calls of clients that wait: the topic is `tool-decision:` and the id of the approval."""

ANNOUNCE_NEWS = """
    create function announce_agent_news() returns trigger language plpgsql as $$
    begin
        -- the columns of a row are looked up when a condition is evaluated, all at once
        if tg_table_name <> 'tasks' then
            if new.agent_id is not null then
                perform pg_notify('mission_control', 'agent-news:' || new.agent_id);
            end if;
        elsif new.assigned_agent_id is null then
            perform pg_notify('mission_control', 'board-tasks:' || new.board_id);
        else
            perform pg_notify('mission_control', 'agent-news:' || new.assigned_agent_id);
        end if;
        return null;
    end $$
"""
"""For agents that wait for a message, a decision or a task: `agent-news:` and the agent's id, and
`board-tasks:` and the board's id if a task that nobody has is in the inbox."""

NEWS = {
    "messages": ("insert on agent_messages", ""),
    "decisions": (
        "update of status on approvals",
        "when (old.status is distinct from new.status)",
    ),
    "new_tasks": (
        "insert on tasks",
        "when (new.assigned_agent_id is not null or new.status = 'inbox')",
    ),
    "tasks": (
        "update of assigned_agent_id, status on tasks",
        "when ((old.assigned_agent_id, old.status) is distinct from"
        " (new.assigned_agent_id, new.status)"
        " and (new.assigned_agent_id is not null or new.status = 'inbox'))",
    ),
}


def upgrade() -> None:
    op.create_table(
        "client_connections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("hook_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mcp_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("telemetry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_seconds", sa.Double(), nullable=True),
        sa.Column("cut_seconds", sa.Double(), nullable=True),
        sa.Column("test_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agents.id"],
            name=op.f("fk_client_connections_agent_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_connections")),
        sa.UniqueConstraint(
            "agent_id", "client", name=op.f("uq_client_connections_agent_id_client")
        ),
    )
    op.create_table(
        "coding_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("client", sa.String(length=40), nullable=False),
        sa.Column("session_key", sa.String(), nullable=False),
        sa.Column("cwd", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_call_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_signal_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('working', 'idle', 'ended')", name=op.f("ck_coding_sessions_state")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agents.id"],
            name=op.f("fk_coding_sessions_agent_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_coding_sessions_board_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_coding_sessions_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_coding_sessions_task_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coding_sessions")),
        sa.UniqueConstraint(
            "agent_id",
            "client",
            "session_key",
            name=op.f("uq_coding_sessions_agent_id_client_session_key"),
        ),
    )
    op.create_index(
        op.f("ix_coding_sessions_agent_id_last_signal_at"),
        "coding_sessions",
        ["agent_id", "last_signal_at"],
    )
    op.create_index(op.f("ix_coding_sessions_board_id"), "coding_sessions", ["board_id"])
    op.create_index(
        op.f("ix_coding_sessions_last_signal_at"),
        "coding_sessions",
        ["last_signal_at"],
    )
    op.create_index(
        op.f("ix_coding_sessions_organization_id"),
        "coding_sessions",
        ["organization_id"],
    )
    op.create_index(op.f("ix_coding_sessions_task_id"), "coding_sessions", ["task_id"])
    op.create_table(
        "tool_grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("approval_id", sa.Uuid(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("input_excerpt", sa.String(), nullable=False),
        sa.Column("granted_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by_user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(session_id is null) <> (task_id is null)", name=op.f("ck_tool_grants_scope")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_tool_grants_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"],
            ["approvals.id"],
            name=op.f("fk_tool_grants_approval_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["board_id"], ["boards.id"], name=op.f("fk_tool_grants_board_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["ended_by_user_id"],
            ["users.id"],
            name=op.f("fk_tool_grants_ended_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["granted_by_user_id"],
            ["users.id"],
            name=op.f("fk_tool_grants_granted_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_tool_grants_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["coding_sessions.id"],
            name=op.f("fk_tool_grants_session_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_tool_grants_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_grants")),
    )
    op.create_index(
        op.f("ix_tool_grants_agent_id_request_hash"),
        "tool_grants",
        ["agent_id", "request_hash"],
    )
    op.create_index(op.f("ix_tool_grants_approval_id"), "tool_grants", ["approval_id"])
    op.create_index(op.f("ix_tool_grants_board_id"), "tool_grants", ["board_id"])
    op.create_index(op.f("ix_tool_grants_ended_by_user_id"), "tool_grants", ["ended_by_user_id"])
    op.create_index(
        op.f("ix_tool_grants_granted_by_user_id"),
        "tool_grants",
        ["granted_by_user_id"],
    )
    op.create_index(op.f("ix_tool_grants_organization_id"), "tool_grants", ["organization_id"])
    op.create_index(op.f("ix_tool_grants_session_id"), "tool_grants", ["session_id"])
    op.create_index(op.f("ix_tool_grants_task_id"), "tool_grants", ["task_id"])
    op.create_table(
        "usage_facts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_usage_facts_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_usage_facts_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["coding_sessions.id"],
            name=op.f("fk_usage_facts_session_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_usage_facts_task_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_facts")),
        sa.UniqueConstraint(
            "agent_id",
            "source",
            "source_key",
            name=op.f("uq_usage_facts_agent_id_source_source_key"),
        ),
    )
    op.create_index(
        op.f("ix_usage_facts_agent_id_used_at"),
        "usage_facts",
        ["agent_id", "used_at"],
    )
    op.create_index(op.f("ix_usage_facts_organization_id"), "usage_facts", ["organization_id"])
    op.create_index(
        op.f("ix_usage_facts_session_id_used_at"),
        "usage_facts",
        ["session_id", "used_at"],
    )
    op.create_index(op.f("ix_usage_facts_used_at"), "usage_facts", ["used_at"])
    op.create_index(op.f("ix_usage_facts_task_id"), "usage_facts", ["task_id"])
    op.create_table(
        "tool_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("call_key", sa.String(), nullable=True),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("input_excerpt", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rule_name", sa.String(), nullable=True),
        sa.Column("approval_id", sa.Uuid(), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("answer", sa.String(length=40), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("abandoned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_successful", sa.Boolean(), nullable=True),
        sa.Column("is_ungated", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "answer in ('allow', 'deny', 'defer')", name=op.f("ck_tool_calls_answer")
        ),
        sa.CheckConstraint(
            "(answer is null) = (answered_at is null)", name=op.f("ck_tool_calls_answered_at")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_tool_calls_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"],
            ["approvals.id"],
            name=op.f("fk_tool_calls_approval_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["board_id"], ["boards.id"], name=op.f("fk_tool_calls_board_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["tool_grants.id"],
            name=op.f("fk_tool_calls_grant_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_tool_calls_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["coding_sessions.id"],
            name=op.f("fk_tool_calls_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_calls")),
    )
    op.create_index(
        op.f("ix_tool_calls_agent_id_asked_at"),
        "tool_calls",
        ["agent_id", "asked_at"],
    )
    op.create_index(op.f("ix_tool_calls_agent_id_call_key"), "tool_calls", ["agent_id", "call_key"])
    op.create_index(op.f("ix_tool_calls_approval_id"), "tool_calls", ["approval_id"])
    op.create_index(op.f("ix_tool_calls_asked_at"), "tool_calls", ["asked_at"])
    op.create_index(
        op.f("ix_tool_calls_board_id_asked_at"),
        "tool_calls",
        ["board_id", "asked_at"],
    )
    op.create_index(op.f("ix_tool_calls_grant_id"), "tool_calls", ["grant_id"])
    op.create_index(
        op.f("ix_tool_calls_organization_id_asked_at"),
        "tool_calls",
        ["organization_id", "asked_at"],
    )
    op.create_index(
        op.f("ix_tool_calls_session_id_asked_at"),
        "tool_calls",
        ["session_id", "asked_at"],
    )
    op.create_index(
        op.f("ix_tool_calls_session_id_request_hash"),
        "tool_calls",
        ["session_id", "request_hash"],
    )
    op.create_index(
        "ix_tool_calls_unanswered",
        "tool_calls",
        ["agent_id"],
        postgresql_where=sa.text("answer is null and abandoned_at is null"),
    )
    op.create_index(
        "ix_tool_calls_ungated",
        "tool_calls",
        ["agent_id", "asked_at"],
        postgresql_where=sa.text("is_ungated"),
    )
    op.create_index(
        "uq_tool_calls_session_id_call_key",
        "tool_calls",
        ["session_id", "call_key"],
        unique=True,
        postgresql_where=sa.text("call_key is not null"),
    )
    op.add_column(
        "approvals", sa.Column("is_tool_call", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("tasks", sa.Column("claimed_run", sa.String(length=200), nullable=True))
    op.add_column("tasks", sa.Column("claimed_run_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_approvals_tool_calls",
        "approvals",
        ["created_at"],
        postgresql_where=sa.text("is_tool_call"),
    )
    op.execute(ANNOUNCE_DECISION)
    op.execute(
        "create trigger announce_tool_decision after update of status on approvals for each row"
        " when (new.is_tool_call and old.status is distinct from new.status)"
        " execute function announce_tool_decision()"
    )
    op.execute(ANNOUNCE_NEWS)
    for name, (change, condition) in NEWS.items():
        op.execute(
            f"create trigger announce_{name} after {change} for each row"
            f" {condition} execute function announce_agent_news()"
        )


def downgrade() -> None:
    for name, (change, _) in NEWS.items():
        op.execute(f"drop trigger announce_{name} on {change.rpartition(' ')[2]}")
    op.execute("drop function announce_agent_news()")
    op.execute("drop trigger announce_tool_decision on approvals")
    op.execute("drop function announce_tool_decision()")
    op.drop_column("tasks", "claimed_run_at")
    op.drop_column("tasks", "claimed_run")
    op.drop_index("ix_approvals_tool_calls", "approvals")
    op.drop_column("approvals", "is_tool_call")
    op.drop_table("tool_calls")
    op.drop_table("usage_facts")
    op.drop_table("tool_grants")
    op.drop_table("coding_sessions")
    op.drop_table("client_connections")
