"""The audit of an organization, for its admins, and of the installation, for its operators."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response, StreamingResponse

from api.framework.dependencies import admin_membership, owner_membership
from api.framework.fields import (
    NonNegativeInt,
    PageLimit,
    PageOffset,
    PageQuery,
    RequestModel,
    RequestTimestamp,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import (
    USER,
    Operation,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import MAX_PAGE_SIZE, Page, Paging
from models import Member
from services import audit
from services.audit import AuditFilters

FilterText = Annotated[str, StringConstraints(max_length=200)]


class AuditRecordRead(ResponseModel):
    """A record. `hash` is the SHA-256 of the other fields in the form of the export."""

    id: UUID
    organization_id: UUID | None
    sequence: int
    at: Timestamp
    actor_kind: str
    actor_id: UUID | None
    actor_name: str | None
    credential: str | None
    credential_id: str | None
    address: str | None
    action: str
    object_kind: str
    object_id: str | None
    object_name: str | None
    cause: str | None
    event_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    previous_hash: str
    hash: str


encode_record = build_encoder(AuditRecordRead)


class AuditFilterQuery(PageQuery):
    """Which records to list."""

    actor_id: UUID | None = Field(default=None, description="Only those of this user or agent.")
    action: FilterText = Field(
        default="", description="Only this action, such as `member.removed`, or group, `member`."
    )
    object: FilterText = Field(default="", description="The id of an object, or a part of a name.")
    since: RequestTimestamp | None = Field(default=None, description="Only at or after this time.")
    until: RequestTimestamp | None = Field(default=None, description="Only before this time.")

    @property
    def filters(self) -> AuditFilters:
        """Return the filters."""
        return AuditFilters(self.actor_id, self.action, self.object, self.since, self.until)


class AuditExportQuery(RequestModel):
    """Where an export starts."""

    after: NonNegativeInt = Field(
        default=0, description="The number of the last record that you have; 0: none."
    )


@reads_only
@error_responses(403)
async def list_audit_records(
    context: RequestContext, member: Member, query: AuditFilterQuery
) -> Encoded[Page[AuditRecordRead]]:
    """List the audit of the active organization, newest first. For admins."""
    found = await audit.list_audit_records(
        context.source, member.organization_id, query.filters, query.paging
    )
    return encode_page(found, encode_record)


@error_responses(403, 404)
@without_transaction
async def export_audit(
    context: RequestContext, member: Member, query: AuditExportQuery
) -> Response:
    """Export the audit of the active organization as JSON lines. For admins.

    The first line is a header and the last one closes the export. `audit verify` is the command of
    the server that checks it.
    """
    return await _stream_export(context, member.organization_id, query.after)


class CommunicationRead(ResponseModel):
    """A comment, a message, a chat message or another event outside of the audit's chain."""

    event_id: UUID
    number: int = Field(description="The number of the event; send the last one as `after`.")
    at: Timestamp
    action: str = Field(description="The type of the event, such as `task.comment`.")
    board_id: UUID | None
    task_id: UUID | None
    actor_kind: str
    actor_id: UUID | None
    actor_name: str | None
    credential: str
    credential_id: str | None
    address: str | None
    cause: str | None


encode_communication = build_encoder(
    CommunicationRead,
    "origin",
    event_id="event.id",
    number="event.seq",
    at="event.created_at",
    action="event.type",
    board_id="event.board_id",
    task_id="event.task_id",
)


class CommunicationQuery(BaseModel):
    """Which communication to list."""

    limit: PageLimit = MAX_PAGE_SIZE
    offset: PageOffset = 0
    after: NonNegativeInt = Field(default=0, description="The last number that you have; 0: none.")


@reads_only
@error_responses(403)
async def list_communication(
    context: RequestContext, member: Member, query: CommunicationQuery
) -> Encoded[Page[CommunicationRead]]:
    """List who sent comments, messages and chat, with which credential and from where.

    These are not in the chain of the audit. Oldest first, without the texts. For admins.
    """
    found = await audit.list_communication(
        context.source, member.organization_id, query.after, Paging(query.limit, query.offset)
    )
    return encode_page(found, encode_communication)


@reads_only
@error_responses(403)
async def list_installation_audit(
    context: RequestContext, member: Member, query: AuditFilterQuery
) -> Encoded[Page[AuditRecordRead]]:
    """List the audit of the installation, newest first. For owners of the first organization."""
    await audit.require_installation_reader(context.source, member)
    found = await audit.list_audit_records(context.source, None, query.filters, query.paging)
    return encode_page(found, encode_record)


@error_responses(403, 404)
@without_transaction
async def export_installation_audit(
    context: RequestContext, member: Member, query: AuditExportQuery
) -> Response:
    """Export the audit of the installation as JSON lines. For owners of the first organization."""
    async with context.reader() as source:
        await audit.require_installation_reader(source, member)
    return await _stream_export(context, None, query.after)


async def _stream_export(
    context: RequestContext, organization_id: UUID | None, after: int
) -> StreamingResponse:
    async with context.transaction() as session:
        header = await audit.prepare_export(session, organization_id, after)
    lines = audit.stream_export(context.reader, organization_id, header)
    disposition = 'attachment; filename="audit.jsonl"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


AUDIT = "/organizations/me/audit"
INSTALLATION_AUDIT = "/installation/audit"

OPERATIONS = [
    Operation("GET", AUDIT, list_audit_records, USER, ["audit"], admin_membership),
    Operation(
        "GET", AUDIT + "/communication", list_communication, USER, ["audit"], admin_membership
    ),
    Operation("GET", AUDIT + "/export", export_audit, USER, ["audit"], admin_membership),
    Operation(
        "GET", INSTALLATION_AUDIT, list_installation_audit, USER, ["audit"], owner_membership
    ),
    Operation(
        "GET",
        INSTALLATION_AUDIT + "/export",
        export_installation_audit,
        USER,
        ["audit"],
        owner_membership,
    ),
]
