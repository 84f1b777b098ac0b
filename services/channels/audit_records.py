"""Audit records of channels: who sends what leaves this installation, and where. Never secrets."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from models import NotificationChannel
from services.audit import AuditAction, AuditObject, NewAuditRecord, record_audit

ChannelChange = tuple[AuditAction, NotificationChannel, str]
"""A channel that was created, deleted or of which the subscription was renewed; its receiver."""


def describe_audited(channel: NotificationChannel) -> Mapping[str, object]:
    """Return the values of a channel whose changes are recorded."""
    return {
        "name": channel.name,
        "is_paused": channel.paused_at is not None,
        "is_confirmed": channel.confirmed_at is not None,
    }


async def record_channel_change(
    session: AsyncSession, channel: NotificationChannel, before: Mapping[str, object]
) -> None:
    """Record what has changed since `describe_audited` returned `before`, if anything has."""
    after = describe_audited(channel)
    changed = [name for name in after if before[name] != after[name]]
    record = NewAuditRecord(
        AuditAction.CHANNEL_UPDATED,
        AuditObject("channel", channel.id, channel.name),
        organization_id=channel.organization_id,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
    await record_audit(session, [record] if changed else [])


async def record_audited_channels(session: AsyncSession, changes: Sequence[ChannelChange]) -> None:
    """Record the channels that have changed. Call it once, and last: see `record_audit`."""
    records = []
    for action, channel, receiver in changes:
        values = {"kind": channel.kind.value, "receiver": receiver}
        is_deleted = action is AuditAction.CHANNEL_DELETED
        record = NewAuditRecord(
            action,
            AuditObject("channel", channel.id, channel.name),
            organization_id=channel.organization_id,
            before=values if is_deleted else None,
            after=None if is_deleted else values,
        )
        records.append(record)
    await record_audit(session, records)
