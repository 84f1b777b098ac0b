"""The stored choices of what a user wants to be notified of."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import violates_constraint
from core.errors import Invalid, NotFound
from core.text import N_
from models import Member, NotificationPreference, new_id
from services.notifications.rules import Choice, is_enabled_by_default


async def save_choices(
    session: AsyncSession,
    member: Member,
    stored: Mapping[Choice, bool],
    choices: Mapping[Choice, bool | None],
) -> bool:
    """Store the choices that differ from those stored, and return whether there are any.

    Raises NotFound or Invalid for a board or a channel that was just deleted.
    """
    redundant = {choice for choice, value in choices.items() if _is_redundant(choice, value)}
    if removed := redundant & stored.keys():
        await session.execute(_delete_statement(member, removed))
    rows = [
        {
            "id": new_id(),
            "user_id": member.user_id,
            "organization_id": member.organization_id,
            **choice._asdict(),
            "is_enabled": value,
        }
        for choice, value in choices.items()
        if choice not in redundant and stored.get(choice) is not value
    ]
    if rows:
        await _store_rows(session, rows)
    return bool(removed or rows)


async def _store_rows(session: AsyncSession, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert or replace choices. Their boards and channels may be deleted at the same time."""
    statement = insert(NotificationPreference).values(rows)
    try:
        await session.execute(
            statement.on_conflict_do_update(
                constraint="uq_notification_preferences_choice",
                set_={"is_enabled": statement.excluded.is_enabled},
            )
        )
    except IntegrityError as error:
        if violates_constraint(error, "fk_notification_preferences_board_id"):
            raise NotFound("board_not_found", N_("There is no such board.")) from error
        if violates_constraint(error, "fk_notification_preferences_channel_id"):
            raise unknown_channel() from error
        raise


def unknown_channel() -> Invalid:
    """Build the error for a channel that the member does not have."""
    return Invalid("unknown_channel", N_("You have no such channel."), field="channel_id")


def _is_redundant(choice: Choice, value: bool | None) -> bool:
    """Return whether a choice need not be stored: without it the same counts."""
    if value is None:
        return True
    default = choice.channel_id is None or is_enabled_by_default(choice.kind)
    return choice.board_id is None and value is default


def _delete_statement(member: Member, choices: Collection[Choice]) -> Any:
    preference = NotificationPreference
    conditions = [
        and_(
            preference.kind == choice.kind,
            preference.board_id.is_not_distinct_from(choice.board_id),
            preference.channel_id.is_not_distinct_from(choice.channel_id),
        )
        for choice in choices
    ]
    return delete(preference).where(
        preference.user_id == member.user_id,
        preference.organization_id == member.organization_id,
        or_(*conditions),
    )
