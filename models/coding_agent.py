"""Coding agents: their clients and sessions, the tool calls that they ask for, and their usage."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.base import Base


class CodingClient(StrEnum):
    """A program that runs a coding agent, and asks before it calls a tool."""

    CLAUDE = "claude"
    CODEX = "codex"
    COPILOT = "copilot"
    OPENCODE = "opencode"
    GEMINI = "gemini"


class ToolAction(StrEnum):
    """A kind of effect that a tool call has, as far as it can be recognized from its input."""

    READ = "read"  # inside the project
    READ_OUTSIDE = "read_outside"
    READ_SECRET = "read_secret"  # noqa: S105 (of keys, and of files that usually contain them)
    WRITE_INSIDE = "write_inside"
    WRITE_OUTSIDE = "write_outside"
    WRITE_GIT = "write_git"  # what git executes or obeys: its configuration, hooks, references
    WRITE_CLIENT_CONFIG = "write_client_config"  # of a client: it could switch off its own gate
    DELETE = "delete"
    NETWORK = "network"
    GIT_PUSH = "git_push"
    INSTALL = "install"  # of packages
    RUN = "run"  # of a program whose effect is not known
    RUN_CODE = "run_code"  # that is part of the call or of its input, as with `python -c`
    OWN_TOOL = "own_tool"  # a tool of this product
    OTHER_TOOL = "other_tool"  # a tool of another MCP server


class ClientConnection(Base):
    """What an agent's client has sent, and when it last did; None: never.

    An agent can be used with several clients. The version is what telemetry or the helper reports.
    """

    __tablename__ = "client_connections"
    __table_args__ = (UniqueConstraint("agent_id", "client"),)

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    client: Mapped[CodingClient]
    version: Mapped[str | None]
    hook_at: Mapped[datetime | None]
    mcp_at: Mapped[datetime | None]
    telemetry_at: Mapped[datetime | None]
    disconnected_at: Mapped[datetime | None]  # when its settings were last restored
    held_seconds: Mapped[float | None]  # of the longest call that was held and then answered
    cut_seconds: Mapped[float | None]  # after which the last connection closed before an answer
    test_requested_at: Mapped[datetime | None]  # the next call is held: it tests the connection
    created_at: Mapped[datetime]


class SessionState(StrEnum):
    """What a session was last known to do. Silence makes it unknown: that is computed."""

    WORKING = "working"
    IDLE = "idle"  # the client said that its turn is over
    ENDED = "ended"


class CodingSession(Base):
    """A session of a client, as far as the client has reported it.

    `session_key`, `cwd`, `model` are the client's words. `last_signal_at` is the latest sign of any
    kind, `last_call_at` the latest request of its hook.
    """

    __tablename__ = "coding_sessions"
    __table_args__ = (
        UniqueConstraint("agent_id", "client", "session_key"),
        Index(None, "agent_id", "last_signal_at"),
        Index(None, "last_signal_at"),
        CheckConstraint("state in ('working', 'idle', 'ended')", name="state"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    agent: Mapped[Agent] = relationship(lazy="raise")
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tasks.id", ondelete="SET NULL"), index=True
    )
    client: Mapped[CodingClient]
    session_key: Mapped[str]
    cwd: Mapped[str | None]
    model: Mapped[str | None]
    state: Mapped[SessionState] = mapped_column(default=SessionState.WORKING)
    started_at: Mapped[datetime]
    last_call_at: Mapped[datetime | None]
    last_signal_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ToolAnswer(StrEnum):
    """What a client was told about a tool call."""

    ALLOW = "allow"
    DENY = "deny"
    DEFER = "defer"  # the client ends, and asks again when it is resumed


class ToolCall(Base):
    """A tool call that a client asked for, or that telemetry knows although it was never asked for.

    A call that waits for people has an approval, with the complete input; calls of a session with
    the same input share it. `input_excerpt` is the beginning of the input, with secrets masked.
    `facts` is what policies compare (`services.tool_facts`). A call without an answer is held, or
    nobody waits for it any more (`abandoned_at`).
    """

    __tablename__ = "tool_calls"
    __table_args__ = (
        Index(None, "session_id", "asked_at"),
        Index(None, "session_id", "request_hash"),
        Index(
            "uq_tool_calls_session_id_call_key",
            "session_id",
            "call_key",
            unique=True,
            postgresql_where=text("call_key is not null"),
        ),
        Index(None, "agent_id", "asked_at"),
        Index(None, "agent_id", "call_key"),
        Index(None, "board_id", "asked_at"),
        Index(None, "organization_id", "asked_at"),
        Index(None, "asked_at"),
        Index(
            "ix_tool_calls_unanswered",
            "agent_id",
            postgresql_where=text("answer is null and abandoned_at is null"),
        ),
        Index(
            "ix_tool_calls_ungated",
            "agent_id",
            "asked_at",
            postgresql_where=text("is_ungated"),
        ),
        CheckConstraint("answer in ('allow', 'deny', 'defer')", name="answer"),
        CheckConstraint("(answer is null) = (answered_at is null)", name="answered_at"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    board_id: Mapped[UUID | None] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    session_id: Mapped[UUID] = mapped_column(ForeignKey("coding_sessions.id", ondelete="CASCADE"))
    session: Mapped[CodingSession] = relationship(lazy="raise")
    call_key: Mapped[str | None]  # the client's id of the call, if it has one
    tool: Mapped[str]
    request_hash: Mapped[str]  # of tool, input and folder, without the words of the model
    input_excerpt: Mapped[str]
    facts: Mapped[dict[str, Any]]
    reason: Mapped[str]  # a code: see services.tool_calls
    rule_name: Mapped[str | None]
    approval_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("approvals.id", ondelete="SET NULL"), index=True
    )
    grant_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tool_grants.id", ondelete="SET NULL"), index=True
    )
    answer: Mapped[ToolAnswer | None]
    asked_at: Mapped[datetime]
    waits_until: Mapped[datetime | None]  # when the server ends the wait
    abandoned_at: Mapped[datetime | None]  # when the connection closed, or the wait ended
    answered_at: Mapped[datetime | None]
    executed_at: Mapped[datetime | None]  # by telemetry, or by the hook after the call
    is_successful: Mapped[bool | None]  # the same
    is_ungated: Mapped[bool] = mapped_column(default=False)  # it ran without a request of the hook


class ToolGrant(Base):
    """A permission for identical tool calls, for the rest of a session or of a task.

    It counts while its approval is approved, and neither it nor its session or task has ended.
    """

    __tablename__ = "tool_grants"
    __table_args__ = (
        Index(None, "agent_id", "request_hash"),
        Index("ix_tool_grants_newest", "agent_id", "created_at", "id"),
        CheckConstraint("(session_id is null) <> (task_id is null)", name="scope"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("coding_sessions.id", ondelete="CASCADE"), index=True
    )
    session: Mapped[CodingSession | None] = relationship(lazy="raise")
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tasks.id", ondelete="CASCADE"), index=True
    )
    approval_id: Mapped[UUID] = mapped_column(
        ForeignKey("approvals.id", ondelete="CASCADE"), index=True
    )
    # named, because the module of approvals imports this one
    approval: Mapped[Any] = relationship("Approval", lazy="raise")
    request_hash: Mapped[str]
    tool: Mapped[str]
    input_excerpt: Mapped[str]  # what exactly it covers, with secrets masked
    granted_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )


class UsageFact(Base):
    """The tokens of one call of a model, as a client has reported them, each call once.

    It is kept longer than its session.
    """

    __tablename__ = "usage_facts"
    __table_args__ = (
        UniqueConstraint("agent_id", "source", "source_key"),
        Index(None, "session_id", "used_at"),
        Index(None, "agent_id", "used_at"),
        Index(None, "used_at"),
        Index(None, "task_id"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("coding_sessions.id", ondelete="SET NULL")
    )
    session: Mapped[CodingSession | None] = relationship(lazy="raise")
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    source: Mapped[str]  # the event or span that reports it, such as `api_request`
    source_key: Mapped[str]  # the client's id of the call, or session and sequence
    model: Mapped[str | None]
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)  # without those of the cache
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    used_at: Mapped[datetime]
