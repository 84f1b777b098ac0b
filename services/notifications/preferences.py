"""What a user wants to be notified of in an organization, where, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import Uuid, and_, bindparam, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import violates_constraint
from core.db.reads import Query, Source, choose_columns
from core.errors import Invalid, NotFound
from core.fields import Fields, KnownVersions, Label, Patch, check_version
from core.text import N_
from models import (
    USER_NAME_COLUMNS,
    BoardAccess,
    Digest,
    Member,
    NotificationChannel,
    NotificationKind,
    NotificationPreference,
    NotificationSettings,
    User,
    new_id,
)
from services.notifications.rules import (
    CONFIGURABLE_KINDS,
    DIGEST_TIME,
    KINDS_WITHOUT_BOARD,
    Choice,
    is_enabled,
    is_enabled_by_default,
)

MAX_ESCALATION_MINUTES = 7 * 24 * 60
TIME_INVALID = N_("Write a time like 08:00.")

ClockTime = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    AfterValidator(time.fromisoformat),
]
"""A time of a day in the time zone of the user."""


class NotificationChoiceUpdate(Fields):
    """A choice of a kind in one place."""

    kind: NotificationKind
    board_id: Annotated[
        UUID | None,
        Field(description="Null: for all boards. What is chosen for a board precedes it."),
    ] = None
    channel_id: Annotated[
        UUID | None,
        Field(
            description="A channel on which it is sent. Null: whether it counts as unread in"
            " Mission Control."
        ),
    ] = None
    is_enabled: bool | None = Field(
        description="Null: as for all boards, or without a board the default."
    )


class NotificationPreferencesUpdate(Patch):
    """Changes of preferences. Choices that are not in the request stay."""

    may_be_empty = True
    example = {
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "wakes_for_urgent": True,
        "choices": [{"kind": "task_changed", "is_enabled": False}],
    }

    quiet_from: Annotated[
        ClockTime | None,
        Label(N_("Quiet from"), error=TIME_INVALID),
        Field(description="Of a day in the user's time zone. Null: no quiet hours."),
    ]
    quiet_until: Annotated[ClockTime | None, Label(N_("Quiet until"), error=TIME_INVALID)]
    wakes_for_urgent: Annotated[
        bool,
        Label(N_("Send urgent ones anyway")),
        Field(description="Urgent ones are sent in quiet hours too."),
    ]
    digest: Annotated[
        Digest,
        Label(N_("Collect e-mails")),
        Field(description="When notifications that are not urgent are sent by e-mail."),
    ]
    digest_at: Annotated[
        ClockTime,
        Label(N_("Daily at"), error=TIME_INVALID),
        Field(description="The time of a daily digest."),
    ]
    escalate_to_user_id: Annotated[
        UUID | None,
        Label(N_("Second person")),
        Field(
            description="Who is notified of approvals and questions that the user has not dealt"
            " with. The person must be able to decide. Null: nobody."
        ),
    ]
    escalate_after_minutes: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ESCALATION_MINUTES)] | None,
        Label(N_("After how many minutes")),
    ]
    choices: list[NotificationChoiceUpdate] = Field(max_length=1_000)


USER_ID = bindparam("user_id", type_=Uuid())
ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())


@dataclass(frozen=True)
class Preferences:
    """What a user has chosen. `settings` has the defaults if nothing is stored."""

    channels: Sequence[NotificationChannel]
    stored: Mapping[Choice, bool]
    settings: NotificationSettings

    def is_enabled(self, choice: Choice) -> bool:
        """Return whether the user wants a kind in one place."""
        return is_enabled(self.stored, choice)

    def list_boards(self) -> set[UUID]:
        """Return the boards with a preference of their own."""
        return {choice.board_id for choice in self.stored if choice.board_id is not None}

    def list_choices(self) -> Sequence[tuple[Choice, bool]]:
        """Return what counts for all boards in each place, and the choices for single boards."""
        places = [None, *(channel.id for channel in self.channels)]
        choices = [Choice(kind, None, place) for kind in CONFIGURABLE_KINDS for place in places]
        of_boards = [one for one in self.stored.items() if one[0].board_id is not None]
        return [
            *((choice, self.is_enabled(choice)) for choice in choices),
            *sorted(of_boards, key=lambda one: [str(part) for part in one[0]]),
        ]


def _of_member(model: Any) -> Any:
    return (model.user_id == USER_ID) & (model.organization_id == ORGANIZATION_ID)


CHANNELS: Query[NotificationChannel] = Query(
    choose_columns(
        select(NotificationChannel)
        .where(_of_member(NotificationChannel))
        .order_by(NotificationChannel.created_at, NotificationChannel.id),
        {NotificationChannel: ("id", "kind", "name", "paused_at", "confirmed_at")},
    ),
    itemgetter(0),
)
STORED_CHOICES: Query[tuple[Choice, bool]] = Query(
    select(
        NotificationPreference.kind,
        NotificationPreference.board_id,
        NotificationPreference.channel_id,
        NotificationPreference.is_enabled,
    ).where(_of_member(NotificationPreference)),
    lambda row: (Choice(*row[:3]), row[3]),
)
SETTINGS: Query[NotificationSettings] = Query(
    select(NotificationSettings).where(_of_member(NotificationSettings)), itemgetter(0)
)
MAY_WRITE = exists().where(
    BoardAccess.organization_member_id == Member.id, BoardAccess.can_write.is_(True)
)
IS_OTHER_DECIDER = and_(User.id != USER_ID, or_(Member.all_boards_write, MAY_WRITE))
"""Whether a member is not the user `user_id`, and can decide approvals of at least one board."""

DECIDERS: Query[User] = Query(
    choose_columns(
        select(User)
        .join(Member, Member.user_id == User.id)
        .where(Member.organization_id == ORGANIZATION_ID, IS_OTHER_DECIDER)
        .order_by(func.lower(func.coalesce(User.preferred_name, User.name, User.email)), User.id),
        {User: (*USER_NAME_COLUMNS, "email")},
    ),
    itemgetter(0),
)


def _parameters(member: Member) -> dict[str, object]:
    return {"user_id": member.user_id, "organization_id": member.organization_id}


async def load_preferences(source: Source, member: Member) -> Preferences:
    """Return what the member has chosen in the organization, and the channels to choose."""
    parameters = _parameters(member)
    settings = await SETTINGS.first(source, **parameters)
    return Preferences(
        await CHANNELS.fetch(source, **parameters),
        dict(await STORED_CHOICES.fetch(source, **parameters)),
        settings or NotificationSettings(**_default_settings(member)),
    )


async def list_deciders(source: Source, member: Member) -> Sequence[User]:
    """Return the other members who can decide approvals of at least one board, by name."""
    return await DECIDERS.fetch(source, **_parameters(member))


async def lock_preferences(session: AsyncSession, member: Member) -> Preferences:
    """Lock what the member has chosen, for a change."""
    values = {"id": new_id(), "updated_at": now(), **_default_settings(member)}
    created = insert(NotificationSettings).values(values).on_conflict_do_nothing()
    await session.execute(created)
    locked = select(NotificationSettings).where(
        NotificationSettings.user_id == member.user_id,
        NotificationSettings.organization_id == member.organization_id,
    )
    await session.execute(locked.with_for_update())
    return await load_preferences(session, member)


async def update_preferences(
    session: AsyncSession,
    member: Member,
    preferences: Preferences,
    fields: NotificationPreferencesUpdate,
    known: KnownVersions = None,
) -> None:
    """Change the choices and the settings of a member; `preferences` are locked.

    None removes a choice, so that the one for all boards or the default counts. The caller has
    checked that the boards are readable. Raises Invalid, NotFound for a board that was just
    deleted, and PreconditionFailed.
    """
    changes = fields.changes()
    wanted_choices = _check_choices(preferences, changes.pop("choices", ()))
    settings = preferences.settings
    wanted = await _check_settings(session, member, settings, changes)
    check_version(known, settings.version)
    is_changed = await save_choices(session, member, preferences.stored, wanted_choices)
    changed = {name for name, value in wanted.items() if value != getattr(settings, name)}
    for name in changed:
        setattr(settings, name, wanted[name])
    if changed or is_changed:
        settings.version += 1
        settings.updated_at = now()


def _check_choices(
    preferences: Preferences, choices: Sequence[NotificationChoiceUpdate]
) -> Mapping[Choice, bool | None]:
    """Return the choices by their places. Raises Invalid for what cannot be chosen."""
    own = {None, *(one.id for one in preferences.channels)}
    for choice in choices:
        if choice.kind not in CONFIGURABLE_KINDS:
            raise Invalid("kind_not_configurable", f"{choice.kind} is always on.", field="kind")
        if choice.board_id is not None and choice.kind in KINDS_WITHOUT_BOARD:
            message = f"{choice.kind} concerns no board: choose it for all boards."
            raise Invalid("kind_without_board", message, field="board_id")
        if choice.channel_id not in own:
            raise unknown_channel()
    found = {Choice(one.kind, one.board_id, one.channel_id): one.is_enabled for one in choices}
    if len(found) < len(choices):
        message = "A kind is chosen twice for the same board and channel."
        raise Invalid("choice_repeated", message, field="choices")
    return found


async def _check_settings(
    session: AsyncSession,
    member: Member,
    settings: NotificationSettings,
    changes: Mapping[str, object],
) -> dict[str, Any]:
    """Return the settings that are wanted after the changes. Raises Invalid."""
    names = ("quiet_from", "quiet_until", "escalate_to_user_id", "escalate_after_minutes")
    wanted = {name: getattr(settings, name) for name in names} | dict(changes)
    _check_quiet_hours(wanted)
    sets_minutes = bool(changes.get("escalate_after_minutes"))
    was_off = settings.escalate_to_user_id is None
    if sets_minutes and was_off and wanted["escalate_to_user_id"] is None:
        message = N_("Choose the second person, or leave the minutes empty.")
        raise Invalid("escalation_person_required", message, field="escalate_to_user_id")
    await _check_escalation(session, member, settings, wanted)
    return wanted


def _check_quiet_hours(wanted: Mapping[str, Any]) -> None:
    begin, end = wanted["quiet_from"], wanted["quiet_until"]
    if (begin is None) is not (end is None):
        missing = "quiet_from" if begin is None else "quiet_until"
        message = N_("Quiet hours need a beginning and an end.")
        raise Invalid("quiet_hours_incomplete", message, field=missing)
    if begin is not None and begin == end:
        message = N_("Quiet hours end at another time than they begin.")
        raise Invalid("quiet_hours_empty", message, field="quiet_until")


async def _check_escalation(
    session: AsyncSession, member: Member, settings: NotificationSettings, wanted: dict[str, Any]
) -> None:
    """Check the minutes, and the second person if it is another one than before."""
    person, minutes = wanted["escalate_to_user_id"], wanted["escalate_after_minutes"]
    if person is None:
        wanted["escalate_after_minutes"] = None
        return
    if minutes is None:
        message = N_("Choose between 1 and 10,080 minutes, which is a week.")
        field = "escalate_after_minutes"
        raise Invalid("escalation_minutes_invalid", message, field=field)
    is_changed = person != settings.escalate_to_user_id
    if is_changed and person not in {user.id for user in await list_deciders(session, member)}:
        message = N_("This person cannot decide approvals in the organization.")
        raise Invalid("escalation_person_invalid", message, field="escalate_to_user_id")


def _default_settings(member: Member) -> dict[str, Any]:
    return {
        **_parameters(member),
        "wakes_for_urgent": False,
        "digest": Digest.OFF,
        "digest_at": DIGEST_TIME,
        "version": 1,
    }


async def save_choices(
    session: AsyncSession,
    member: Member,
    stored: Mapping[Choice, bool],
    choices: Mapping[Choice, bool | None],
) -> bool:
    """Store the choices that differ from those stored, and return whether there are any.

    Raises NotFound or Invalid for a board or a channel that was just deleted.
    """
    preference, redundant = NotificationPreference, set()
    for choice, value in choices.items():
        default = choice.channel_id is None or is_enabled_by_default(choice.kind)
        if value is None or (choice.board_id is None and value is default):
            redundant.add(choice)  # without it the same counts
    if removed := redundant & stored.keys():
        conditions = [
            and_(
                preference.kind == choice.kind,
                preference.board_id.is_not_distinct_from(choice.board_id),
                preference.channel_id.is_not_distinct_from(choice.channel_id),
            )
            for choice in removed
        ]
        of_member = preference.user_id == member.user_id
        of_member &= preference.organization_id == member.organization_id
        await session.execute(delete(preference).where(of_member, or_(*conditions)))
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
        statement = insert(preference).values(rows)
        try:
            await session.execute(
                statement.on_conflict_do_update(
                    constraint="uq_notification_preferences_choice",
                    set_={"is_enabled": statement.excluded.is_enabled},
                )
            )
        except IntegrityError as error:  # a board or a channel was deleted at the same time
            if violates_constraint(error, "fk_notification_preferences_board_id"):
                raise NotFound("board_not_found", N_("There is no such board.")) from error
            if violates_constraint(error, "fk_notification_preferences_channel_id"):
                raise unknown_channel() from error
            raise
    return bool(removed or rows)


def unknown_channel() -> Invalid:
    """Build the error for a channel that the member does not have."""
    return Invalid("unknown_channel", N_("You have no such channel."), field="channel_id")
