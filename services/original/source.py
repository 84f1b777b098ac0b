"""Read the database of the original: its tables, its revision, and rows in batches.

The tables are those of abhi1693/openclaw-mission-control at commit 75eb8b08. Nothing is written
there. All times there are UTC without a zone. Its texts have no limits: of each one a little more
than the longest that is stored here is read, so that a cut is noticed.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    MetaData,
    NullPool,
    SQLColumnExpression,
    Table,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.types import TypeEngine

from core.db.engine import ANY_URL, CONNECT_OPTIONS, CONNECTION_ERRORS, OUR_CREATOR, UNLIMITED
from core.db.reads import AnySelect
from core.errors import Invalid
from core.fields import MAX_TEXT_LENGTH

COMMIT = "75eb8b08"  # of the original
REVISION = "a9b1c2d3e4f7"  # of its schema at that commit
BATCH_SIZE = 200  # rows that are in memory at once
LARGE_BATCH_SIZE = 20  # rows with several JSON values of the largest size
MAX_JSON_LENGTH = 1_000_000  # characters of a JSON value; longer ones are not read
YEARS = (datetime(2, 1, 1), datetime(9998, 12, 31))  # that can be represented in every time zone

_metadata = MetaData()

Row = Mapping[str, Any]


def _table(name: str, columns: Mapping[type[TypeEngine[Any]], str]) -> Table:
    named = [Column(one, kind) for kind, names in columns.items() for one in names.split()]
    return Table(name, _metadata, *named)


USERS = _table(
    "users",
    {
        Uuid: "id active_organization_id",
        Text: "clerk_user_id email name preferred_name pronouns timezone notes context",
        Boolean: "is_super_admin",
    },
)
ORGANIZATIONS = _table(
    "organizations", {Uuid: "id", Text: "name", DateTime: "created_at updated_at"}
)
MEMBERS = _table(
    "organization_members",
    {
        Uuid: "id organization_id user_id",
        Text: "role",
        Boolean: "all_boards_read all_boards_write",
        DateTime: "created_at updated_at",
    },
)
BOARD_ACCESS = _table(
    "organization_board_access",
    {
        Uuid: "id organization_member_id board_id",
        Boolean: "can_read can_write",
        DateTime: "created_at updated_at",
    },
)
INVITES = _table(
    "organization_invites",
    {
        Uuid: "id organization_id created_by_user_id accepted_by_user_id",
        Text: "invited_email token role",
        Boolean: "all_boards_read all_boards_write",
        DateTime: "accepted_at created_at updated_at",
    },
)
INVITE_ACCESS = _table(
    "organization_invite_board_access",
    {
        Uuid: "id organization_invite_id board_id",
        Boolean: "can_read can_write",
        DateTime: "created_at updated_at",
    },
)
GROUPS = _table(
    "board_groups",
    {
        Uuid: "id organization_id",
        Text: "name slug description",
        DateTime: "created_at updated_at",
    },
)
BOARDS = _table(
    "boards",
    {
        Uuid: "id organization_id gateway_id board_group_id",
        Text: "name slug description board_type objective goal_source",
        JSON: "success_metrics",
        Boolean: "goal_confirmed require_approval_for_done require_review_before_done"
        " comment_required_for_review block_status_changes_with_pending_approval"
        " only_lead_can_change_status",
        Integer: "max_agents",
        DateTime: "target_date created_at updated_at",
    },
)
GATEWAYS = _table(
    "gateways",
    {
        Uuid: "id organization_id",
        Text: "name url token workspace_root",
        Boolean: "disable_device_pairing allow_insecure_tls",
        DateTime: "created_at updated_at",
    },
)
AGENTS = _table(
    "agents",
    {
        Uuid: "id board_id gateway_id",
        Text: "name status openclaw_session_id agent_token_hash identity_template soul_template",
        JSON: "heartbeat_config identity_profile",
        Boolean: "is_board_lead",
        DateTime: "last_seen_at created_at updated_at",
    },
)
PACKS = _table(
    "skill_packs",
    {
        Uuid: "id organization_id",
        Text: "name description source_url branch",
        JSON: "metadata",
        DateTime: "created_at updated_at",
    },
)
SKILLS = _table(
    "marketplace_skills",
    {
        Uuid: "id organization_id",
        Text: "name description category risk source source_url",
        JSON: "metadata",
        DateTime: "created_at updated_at",
    },
)
INSTALLED_SKILLS = _table(
    "gateway_installed_skills",
    {Uuid: "id gateway_id skill_id", DateTime: "created_at updated_at"},
)
TAGS = _table(
    "tags",
    {
        Uuid: "id organization_id",
        Text: "name slug color description",
        DateTime: "created_at updated_at",
    },
)
FIELDS = _table(
    "task_custom_field_definitions",
    {
        Uuid: "id organization_id",
        Text: "field_key label field_type ui_visibility validation_regex description",
        Boolean: "required",
        JSON: "default_value",
        DateTime: "created_at updated_at",
    },
)
BOARD_FIELDS = _table(
    "board_task_custom_fields",
    {Uuid: "id board_id task_custom_field_definition_id", DateTime: "created_at"},
)
TASKS = _table(
    "tasks",
    {
        Uuid: "id board_id created_by_user_id assigned_agent_id",
        Text: "title description status priority auto_reason",
        Boolean: "auto_created",
        DateTime: "due_at in_progress_at previous_in_progress_at created_at updated_at",
    },
)
DEPENDENCIES = _table(
    "task_dependencies",
    {Uuid: "id board_id task_id depends_on_task_id", DateTime: "created_at"},
)
TAG_ASSIGNMENTS = _table("tag_assignments", {Uuid: "id task_id tag_id", DateTime: "created_at"})
FIELD_VALUES = _table(
    "task_custom_field_values",
    {
        Uuid: "id task_id task_custom_field_definition_id",
        JSON: "value",
        DateTime: "created_at updated_at",
    },
)
FINGERPRINTS = _table("task_fingerprints", {Uuid: "id board_id task_id"})
APPROVALS = _table(
    "approvals",
    {
        Uuid: "id board_id task_id agent_id",
        Text: "action_type status",
        JSON: "payload rubric_scores",
        Float: "confidence",
        DateTime: "created_at resolved_at",
    },
)
APPROVAL_LINKS = _table(
    "approval_task_links", {Uuid: "id approval_id task_id", DateTime: "created_at"}
)
NOTES = _table(
    "board_memory",
    {
        Uuid: "id board_id",
        Text: "content source",
        JSON: "tags",
        Boolean: "is_chat",
        DateTime: "created_at",
    },
)
GROUP_NOTES = _table(
    "board_group_memory",
    {
        Uuid: "id board_group_id",
        Text: "content source",
        JSON: "tags",
        Boolean: "is_chat",
        DateTime: "created_at",
    },
)
ONBOARDING = _table(
    "board_onboarding_sessions",
    {
        Uuid: "id board_id",
        Text: "session_key status",
        JSON: "messages draft_goal",
        DateTime: "created_at updated_at",
    },
)
WEBHOOKS = _table(
    "board_webhooks",
    {
        Uuid: "id board_id agent_id",
        Text: "description secret signature_header",
        Boolean: "enabled",
        DateTime: "created_at updated_at",
    },
)
PAYLOADS = _table(
    "board_webhook_payloads",
    {
        Uuid: "id board_id webhook_id",
        Text: "source_ip content_type",
        JSON: "payload headers",
        DateTime: "received_at",
    },
)
EVENTS = _table(
    "activity_events",
    {
        Uuid: "id board_id task_id agent_id",
        Text: "event_type message",
        DateTime: "created_at",
    },
)


class OriginalDatabase:
    """The database of the original, as it was at one moment."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(
        self, query: AnySelect, batch_size: int = BATCH_SIZE
    ) -> AsyncGenerator[Sequence[Row], None]:
        """Yield the rows of a query in batches. Only one is in memory."""
        options = {"yield_per": batch_size}
        async with self._connection.stream(query, execution_options=options) as result:
            async for batch in result.mappings().partitions():
                yield batch

    async def count(self, table: Table, condition: ColumnElement[bool] | None = None) -> int:
        """Return the number of rows of a table that meet a condition."""
        query = select(func.count()).select_from(table)
        query = query if condition is None else query.where(condition)
        return await self._connection.scalar(query) or 0


def select_rows(table: Table, *more: ColumnElement[Any]) -> AnySelect:
    """Select the columns of a table as they are read: with limits, and JSON as text."""
    return select(*map(_read_column, table.c), *more)


def _read_column(column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, JSON):
        value: ColumnElement[Any] = func.left(cast(column, Text), MAX_JSON_LENGTH + 1)
    elif isinstance(column.type, Text):
        value = func.left(column, MAX_TEXT_LENGTH + 1)
    elif isinstance(column.type, DateTime):
        value = case((column.between(*YEARS), column))
    else:
        return column
    return value.label(column.name)


def is_any_of(column: SQLColumnExpression[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Build the condition that a column has one of the ids, in one parameter."""
    return column == func.any(literal(list(ids), ARRAY(Uuid())))


def is_of(table: Table, column: ColumnElement[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Build the condition that a column has the id of a row of these organizations."""
    return column.in_(select(table.c.id).where(is_any_of(table.c.organization_id, ids)))


def is_of_boards(column: ColumnElement[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Build the condition that a column has a board of these organizations."""
    return is_of(BOARDS, column, ids)


def is_of_agents(ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Build the condition for the agents of these organizations."""
    is_main = AGENTS.c.board_id.is_(None) & is_of(GATEWAYS, AGENTS.c.gateway_id, ids)
    return or_(is_of_boards(AGENTS.c.board_id, ids), is_main)


@asynccontextmanager
async def open_original(dsn: str) -> AsyncGenerator[OriginalDatabase, None]:
    """Read the database at an address as it is now, without changing it.

    Raises Invalid if it cannot be reached, or is not one of the supported original.
    """
    engine = create_async_engine(
        ANY_URL,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "dsn": dsn,
            **CONNECT_OPTIONS,
            "target_session_attrs": "any",  # a standby server is as good
            "server_settings": UNLIMITED,
            **OUR_CREATOR,
        },
    )
    try:
        connection = await engine.connect()
    except (*CONNECTION_ERRORS, ValueError, OverflowError, DBAPIError) as error:
        reason = _describe_failure(error)
        raise Invalid(
            "original_unreachable", f"The original database cannot be opened: {reason}"
        ) from None
    try:
        await connection.execute(text("set transaction isolation level repeatable read read only"))
        await _check_revision(connection)
        yield OriginalDatabase(connection)
    finally:
        await connection.close()
        await engine.dispose()


def _describe_failure(error: Exception) -> str:
    """Return why a connection failed, without a part of the address: it contains a password."""
    cause = getattr(error, "orig", error)
    if isinstance(cause, ValueError | OverflowError) and not isinstance(cause, CONNECTION_ERRORS):
        return (
            "the address must have the form postgresql://user:password@host:5432/name, with"
            " characters of the password other than letters, digits and - . _ ~ written as"
            " %2F"
        )
    return str(cause).rpartition(">: ")[2]


async def _check_revision(connection: AsyncConnection) -> None:
    """Raise Invalid unless the schema is the supported one."""
    supported = f"Only the schema {REVISION} (commit {COMMIT}) can be imported"
    if await connection.scalar(text("select to_regclass('alembic_version')")) is None:
        raise Invalid("not_original", f"This is not a database of the original. {supported}.")
    found = (await connection.scalars(text("select version_num from alembic_version"))).all()
    if list(found) != [REVISION]:
        reason = f"The original database has the schema {', '.join(map(str, found)) or 'none'}."
        hint = "Update the original to that commit, and run its migrations first."
        raise Invalid("original_revision", f"{reason} {supported}: {hint}")
    names = (
        await connection.execute(
            text(
                "select table_name, column_name from information_schema.columns"
                " where table_schema = any(current_schemas(false))"
            )
        )
    ).all()
    present = {(table, column) for table, column in names}
    wanted = {(table.name, column.name) for table in _metadata.sorted_tables for column in table.c}
    if missing := sorted(wanted - present):
        table, column = missing[0]
        raise Invalid(
            "original_schema",
            f"The original database has no column {column} in the table {table}. {supported}.",
        )
