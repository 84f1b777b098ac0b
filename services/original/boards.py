"""Boards of the original with their groups, memory, onboarding and webhooks."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func

from core.clock import to_utc
from core.fields import MAX_INTEGER, MAX_TEXT_LENGTH
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from core.text import slugify
from models import (
    Board,
    BoardGroup,
    BoardWebhook,
    GroupNote,
    Note,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    PayloadState,
    WebhookPayload,
    build_encryption_context,
)
from services.original.source import (
    BOARDS,
    GROUP_NOTES,
    GROUPS,
    LARGE_BATCH_SIZE,
    NOTES,
    ONBOARDING,
    PAYLOADS,
    WEBHOOKS,
    is_any_of,
    is_of,
    is_of_boards,
    select_rows,
)
from services.original.transfer import NewRow, Transfer
from services.original.values import FreeNames, OriginalRow, get_text, list_texts

FLAGS = (
    "goal_confirmed",
    "require_approval_for_done",
    "require_review_before_done",
    "comment_required_for_review",
    "block_status_changes_with_pending_approval",
    "only_lead_can_change_status",
)
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")  # a token of RFC 7230
MAX_MESSAGES = 10_000  # of an onboarding conversation
ANOTHER_ORGANIZATION = "objects of another organization are left out"


async def import_groups(transfer: Transfer) -> None:
    """Import the groups of boards."""
    slugs = FreeNames()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = transfer.groups[row.id] = row["organization_id"]
        name = row.line("name", "Group")
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "name": name,
            "slug": choose_slug(row, slugs, organization_id, name),
            "description": row.text("description", max_length=20_000),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(BoardGroup, values)

    query = select_rows(GROUPS)
    query = query.where(is_any_of(GROUPS.c.organization_id, transfer.organization_ids))
    await transfer.copy("board groups", query.order_by(GROUPS.c.created_at, GROUPS.c.id), plan)


def choose_slug(row: OriginalRow, slugs: FreeNames, owner: UUID, name: str) -> str:
    """Return the slug of a row, or one that is free."""
    given = row["slug"] or ""
    wanted = slugify(given, max_length=200) or slugify(name, max_length=200) or str(row.id)
    slug = slugs.take(owner, wanted)
    if slug != given:
        row.note("slug: it was not valid or not unique, and is another one now")
    return slug


async def import_boards(transfer: Transfer) -> None:
    """Import the boards, on their gateways and in their groups."""
    slugs = FreeNames()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = transfer.boards[row.id] = row["organization_id"]
        name = row.line("name", "Board")
        gateway_id, group_id = row["gateway_id"], row["board_group_id"]
        if gateway_id is not None and transfer.gateways.get(gateway_id) != organization_id:
            row.note("gateway_id: its gateway is not imported, so the board has none")
            gateway_id = None
        if group_id is not None and transfer.groups.get(group_id) != organization_id:
            row.note(f"board_group_id: {ANOTHER_ORGANIZATION}")
            group_id = None
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "name": name,
            "slug": choose_slug(row, slugs, organization_id, name),
            "description": row.text("description", max_length=20_000) or "",
            "gateway_id": gateway_id,
            "board_group_id": group_id,
            "board_type": row.line("board_type", "goal", max_length=50),
            "objective": row.text("objective", max_length=20_000),
            "success_metrics": row.object("success_metrics", max_length=50_000),
            "target_date": row.time("target_date"),
            "goal_source": row.line("goal_source") or None,
            **{flag: row[flag] for flag in FLAGS},
            "max_agents": min(max(row["max_agents"], 0), MAX_INTEGER),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Board, values)

    query = select_rows(BOARDS)
    query = query.where(is_any_of(BOARDS.c.organization_id, transfer.organization_ids))
    await transfer.copy("boards", query.order_by(BOARDS.c.created_at, BOARDS.c.id), plan)


async def import_memory(transfer: Transfer) -> None:
    """Import the notes and the chat of boards and groups. They name their authors as a text."""
    ids = transfer.organization_ids

    def plan_note(row: OriginalRow) -> Iterable[NewRow]:
        yield NewRow(Note, {"board_id": row["board_id"], **_build_note(row)})

    def plan_group_note(row: OriginalRow) -> Iterable[NewRow]:
        yield NewRow(GroupNote, {"board_group_id": row["board_group_id"], **_build_note(row)})

    query = select_rows(NOTES).where(is_of_boards(NOTES.c.board_id, ids))
    await transfer.copy("notes", query.order_by(NOTES.c.created_at, NOTES.c.id), plan_note)
    query = select_rows(GROUP_NOTES).where(is_of(GROUPS, GROUP_NOTES.c.board_group_id, ids))
    order = (GROUP_NOTES.c.created_at, GROUP_NOTES.c.id)
    await transfer.copy("notes of groups", query.order_by(*order), plan_group_note)


def _build_note(row: OriginalRow) -> dict[str, Any]:
    tags = row.json("tags")
    kept = list_texts(tags, max_length=100, max_count=50)
    if kept != (tags or []):
        row.note("tags: entries that are not short texts are left out")
    at = row.moment()
    return {
        "id": row.id,
        "content": row.text("content") or "",
        "tags": kept or None,
        "is_chat": row["is_chat"],
        "source": row.line("source") or None,
        "created_at": at,
        "updated_at": at,
    }


async def import_onboarding(transfer: Transfer) -> None:
    """Import the conversations that set up boards. A board has one open one: the newest."""
    opened: set[UUID] = set()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        status = row.choice("status", OnboardingStatus, OnboardingStatus.CANCELLED)
        if status in (OnboardingStatus.ACTIVE, OnboardingStatus.COMPLETED):
            if row["board_id"] in opened:
                row.note("status: cancelled, because the board has a newer conversation")
                status = OnboardingStatus.CANCELLED
            opened.add(row["board_id"])
        at = row.moment()
        values = {
            "id": row.id,
            "board_id": row["board_id"],
            "session_key": row.line("session_key"),
            "status": status,
            "draft_goal": row.object("draft_goal"),
            "created_at": at,
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(OnboardingSession, values)
        messages = row.json("messages")
        listed = messages if isinstance(messages, list) else []
        known = [one for one in listed[:MAX_MESSAGES] if isinstance(one, Mapping)]
        if len(known) != len(listed) or (messages is not None and messages != listed):
            row.note("messages: invalid entries are left out")
        for number, message in enumerate(known):
            yield NewRow(OnboardingMessage, _build_message(row, number, message))

    query = select_rows(ONBOARDING)
    query = query.where(is_of_boards(ONBOARDING.c.board_id, transfer.organization_ids))
    order = (ONBOARDING.c.created_at.desc(), ONBOARDING.c.id)
    await transfer.copy(
        "onboarding conversations", query.order_by(*order), plan, batch_size=LARGE_BATCH_SIZE
    )


def _build_message(row: OriginalRow, number: int, message: Mapping[str, Any]) -> dict[str, Any]:
    is_user = get_text(message, "role").lower() == OnboardingRole.USER
    return {
        "id": uuid5(row.id, f"message {number}"),
        "session_id": row.id,
        "role": OnboardingRole.USER if is_user else OnboardingRole.ASSISTANT,
        "content": get_text(message, "content")[:MAX_TEXT_LENGTH],
        "created_at": _parse_time(get_text(message, "timestamp")) or row.moment(),
    }


def _parse_time(given: str) -> datetime | None:
    try:
        found = to_utc(datetime.fromisoformat(given))
    except (ValueError, OverflowError):
        return None
    return found if 1 < found.year < 9998 else None


async def import_webhooks(transfer: Transfer, cipher: SecretCipher) -> None:
    """Import the webhooks with their secrets, and what they have received.

    One without a secret gets a random one: signatures are required.
    """
    ids, report = transfer.organization_ids, transfer.report

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        agent_id, header, secret = row["agent_id"], row["signature_header"], row["secret"]
        place = transfer.agents.get(agent_id) if agent_id else None
        if agent_id and (place is None or place.board_id != row["board_id"]):
            row.note("agent_id: its agent is not on the board, so the lead is notified")
            agent_id = None
        if header and not HEADER_NAME.fullmatch(header):
            row.note("signature_header: a name that is not valid for a header is left out")
            header = None
        description = row.text("description", max_length=5_000) or ""
        if not secret:
            shown = " ".join(description.split())[:80]
            path = f"/boards/{row['board_id']}/webhooks/{row.id}"
            report.unsigned_webhooks.append(f"{row['board_name']}: {path} ({shown})")
            row.note("secret: it had none, so it has a random one that its sender does not know")
        transfer.webhooks.add(row.id)
        context = build_encryption_context(BoardWebhook.encrypted_secret, id=row.id)
        values = {
            "id": row.id,
            "board_id": row["board_id"],
            "agent_id": agent_id,
            "description": description,
            "enabled": row["enabled"],
            "encrypted_secret": cipher.encrypt(secret or generate_signing_secret(), context),
            "signature_header": header or None,
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(BoardWebhook, values)

    query = select_rows(WEBHOOKS, func.left(BOARDS.c.name, 80).label("board_name"))
    query = query.join(BOARDS, BOARDS.c.id == WEBHOOKS.c.board_id)
    query = query.where(is_any_of(BOARDS.c.organization_id, ids))
    await transfer.copy("webhooks", query.order_by(WEBHOOKS.c.created_at, WEBHOOKS.c.id), plan)

    def plan_payload(row: OriginalRow) -> Iterable[NewRow]:
        if row["webhook_id"] not in transfer.webhooks:
            row.leave("its webhook belongs to another organization")
            return
        payload, headers = row.json("payload"), row.object("headers", max_length=64 * 1024)
        values = {
            "id": row.id,
            "board_id": row["board_id"],
            "webhook_id": row["webhook_id"],
            "payload": "" if payload is None else payload,
            "headers": {name: str(value) for name, value in (headers or {}).items()},
            "source_ip": row.line("source_ip", max_length=100),
            "content_type": row.line("content_type") or None,
            "is_signed": row["was_signed"],
            "size": min(len((row["payload"] or "").encode()), MAX_INTEGER),
            "received_at": row.moment("received_at"),
            "state": PayloadState.PROCESSED,
        }
        yield NewRow(WebhookPayload, values)

    # nothing was checked without a secret, and a later change may have brought it
    had_secret = (WEBHOOKS.c.secret != "") & (WEBHOOKS.c.updated_at <= PAYLOADS.c.received_at)
    was_signed = func.coalesce(had_secret, False)
    query = select_rows(PAYLOADS, was_signed.label("was_signed"))
    query = query.join(WEBHOOKS, WEBHOOKS.c.id == PAYLOADS.c.webhook_id)
    query = query.where(is_of_boards(PAYLOADS.c.board_id, ids))
    order = (PAYLOADS.c.received_at, PAYLOADS.c.id)
    await transfer.copy(
        "payloads of webhooks", query.order_by(*order), plan_payload, batch_size=LARGE_BATCH_SIZE
    )
