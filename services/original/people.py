"""Organizations of the original, their users, members and invitations."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import exists, func, select

from core.clock import list_time_zone_names, now
from core.errors import Invalid
from core.fields import MAX_NAME_LENGTH
from core.security.secrets import hash_token
from core.text import is_email, to_one_line
from models import (
    BoardAccess,
    ExternalIdentity,
    Invite,
    InviteBoardAccess,
    Member,
    Organization,
    Role,
    User,
    new_id,
)
from services import audit
from services.original.source import (
    BOARD_ACCESS,
    INVITE_ACCESS,
    INVITES,
    MEMBERS,
    ORGANIZATIONS,
    USERS,
    is_any_of,
    is_of,
    select_rows,
)
from services.original.transfer import NewRow, Transfer
from services.original.values import OriginalRow

DEFAULT_NAME = "Organization"
LOCAL_USER = "local-auth-user"  # the only user of an original with a shared token, and ours
INVITE_LIFETIME = timedelta(days=14)  # from the import on
MAX_SUBJECT_LENGTH = 255  # characters (OpenID Connect Core, 2)


async def choose_organizations(transfer: Transfer) -> None:
    """Find the organizations to import: all, or the named one. Those that are here are skipped.

    Raises Invalid for a name that none or several have, and without a name if the installation has
    other organizations or users.
    """
    query = select_rows(ORGANIZATIONS).order_by(ORGANIZATIONS.c.created_at)
    found: dict[UUID, str] = {}
    async for batch in transfer.source.read(query):
        found |= {row["id"]: _read_name(row["name"]) for row in batch}
    wanted = transfer.options.organization
    if wanted is not None:
        words = (wanted, _read_name(wanted))
        named = {id: name for id, name in found.items() if str(id) in words or name in words}
        if len(named) != 1:
            reason = "no organization" if not named else f"{len(named)} organizations"
            listed = "; ".join(f"{name} ({id})" for id, name in (named or found).items())
            text = f"The original has {reason} called {wanted}. Name one, or its id: {listed}."
            raise Invalid("original_organization", text)
        found = named
    session, report = transfer.session, transfer.report
    ids = await session.scalars(
        select(Organization.id).where(is_any_of(Organization.id, list(found)))
    )
    report.present = {id: found[id] for id in ids}
    report.organizations = {id: name for id, name in found.items() if id not in report.present}
    transfer.organization_ids = list(report.organizations)
    is_other = exists().where(~is_any_of(Organization.id, list(found)))
    is_deserted = ~exists(select(Organization.id)) & exists().where(User.password_hash.is_not(None))
    query = select(is_other | is_deserted)
    if wanted is None and report.organizations and await session.scalar(query):
        raise Invalid(
            "installation_in_use",
            "There are other organizations or users here already. Import one organization of the"
            " original at a time, beside them: --organization NAME.",
        )


def _read_name(given: str) -> str:
    return to_one_line(given)[:MAX_NAME_LENGTH].strip() or DEFAULT_NAME


async def import_organizations(transfer: Transfer) -> None:
    """Import the organizations.

    The owners of the oldest one operate the installation: beside others, an imported one is the
    newest, also after older ones are deleted.
    """
    session, report = transfer.session, transfer.report
    is_ours = Organization.is_demo.is_(False)
    oldest = await session.scalar(select(func.min(Organization.created_at)).where(is_ours))

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        created_at = row.moment()
        if oldest is not None:
            row.note("created_at: the time of the import, because older ones come before it")
            created_at = now()
        values = {
            "id": row.id,
            "name": row.line("name", DEFAULT_NAME),
            "created_at": created_at,
            "updated_at": created_at,
        }
        yield NewRow(Organization, values)

    query = select_rows(ORGANIZATIONS)
    query = query.where(is_any_of(ORGANIZATIONS.c.id, transfer.organization_ids))
    order = (ORGANIZATIONS.c.created_at, ORGANIZATIONS.c.id)
    await transfer.copy("organizations", query.order_by(*order), plan)
    if oldest is None:
        first_id = await audit.find_first_organization_id(session)
        report.first_organization = report.organizations[first_id] if first_id else None


class _Accounts:
    """Decides which account here a user of the original is. None is taken over silently."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._emails: dict[str, UUID] = {}  # those that are here
        self._taken_emails: set[str] = set()  # also those that are imported
        self._verified: set[UUID] = set()  # accounts here whose address was verified
        self._external_ids: dict[str, UUID] = {}
        self._identities: dict[str, UUID] = {}
        self._ids: set[UUID] = set()

    async def load(self) -> None:
        """Load what identifies the accounts here."""
        session, options = self._transfer.session, self._transfer.options
        query = select(User.id, User.clerk_user_id, func.lower(User.email), User.email_verified_at)
        for id, external_id, email, verified_at in await session.execute(query):
            self._ids.add(id)
            if verified_at is not None:
                self._verified.add(id)
            self._external_ids[external_id] = id
            if email:
                self._emails[email] = id
        self._taken_emails.update(self._emails)
        if self._ids:  # this installation has had its first owner
            self._external_ids.setdefault(LOCAL_USER, next(iter(self._ids)))
        if options.issuer is not None:
            identities = select(ExternalIdentity.subject, ExternalIdentity.user_id)
            identities = identities.where(ExternalIdentity.issuer == options.issuer)
            for subject, user_id in await session.execute(identities):
                self._identities[subject] = user_id

    def plan(self, row: OriginalRow) -> Iterable[NewRow]:
        """Return the account to create, and the identity with which its user signs in."""
        subject, issuer = row["clerk_user_id"], self._transfer.options.issuer
        report = self._transfer.report
        email = self._read_email(row)
        known = self._find_known(row, subject, email)
        if known is not None:
            self._transfer.users[row.id] = known
            return
        self._transfer.users[row.id] = row.id
        if email in self._taken_emails:
            row.note(
                "email: left out, because another account has this address. With --match-email an"
                " account that is here already is the same person"
            )
            email = None
        shown = email or " ".join(filter(None, (row["name"], f"({row.id})")))
        is_local = subject == LOCAL_USER
        external_id = subject
        if external_id in self._external_ids or len(external_id) > MAX_SUBJECT_LENGTH:
            external_id = str(row.id)
        self._external_ids[external_id] = row.id
        if email:
            self._taken_emails.add(email)
        yield NewRow(User, self._build_user(row, external_id, email))
        if not is_local and issuer is not None and 0 < len(subject) <= MAX_SUBJECT_LENGTH:
            self._identities[subject] = row.id
            identity = {"id": new_id(), "user_id": row.id, "issuer": issuer, "subject": subject}
            yield NewRow(ExternalIdentity, {**identity, "created_at": now()})
            manner = f"At {issuer}"
        elif is_local and external_id == LOCAL_USER:
            manner = "The first owner, by the link of the first start"
        elif email:
            manner = "With a password, by the link of `./run password EMAIL`"
        else:
            manner = "Not at all, because they have no address"
        report.accounts.setdefault(manner, []).append(shown)

    def _find_known(self, row: OriginalRow, subject: str, email: str | None) -> UUID | None:
        """Return the account here that the user certainly is, or that the operator says it is."""
        report, options = self._transfer.report, self._transfer.options
        if row.id in self._ids:
            row.note("already here: the account with this id stays as it is")
            return row.id
        if subject in self._identities:
            row.note("already here: the account with the same issuer and subject")
            return self._identities[subject]
        if options.matches_emails and (account := self._find_by_email(subject, email)):
            doubt = "" if account in self._verified else " (nobody has verified it)"
            report.matched.append(f"{email}{doubt}")
            row.note("already here: the account with the same e-mail address (--match-email)")
            return account
        return None

    def _find_by_email(self, subject: str, email: str | None) -> UUID | None:
        """Return the account that was here and has the address.

        One with another id at the same issuer belongs to somebody else.
        """
        account = self._emails.get(email) if email else None
        if account is None or subject == LOCAL_USER:
            return account
        return None if account in self._identities.values() else account

    def _read_email(self, row: OriginalRow) -> str | None:
        email = (row["email"] or "").strip().lower()
        if email and not is_email(email):
            row.note("email: it is not an e-mail address, so it is left out")
            return None
        return email or None

    def _build_user(
        self, row: OriginalRow, external_id: str, email: str | None
    ) -> dict[str, object]:
        zone = row["timezone"] if row["timezone"] in list_time_zone_names() else None
        if row["timezone"] and zone is None:
            row.note("timezone: an unknown time zone is left out")
        if row["is_super_admin"]:
            row.note("is_super_admin: no account has this right here")
        active = row["active_organization_id"]
        at = now()
        return {
            "id": row.id,
            "clerk_user_id": external_id,
            "email": email,
            "name": row.line("name") or None,
            "preferred_name": row.line("preferred_name") or None,
            "pronouns": row.line("pronouns") or None,
            "timezone": zone,
            "notes": row.text("notes"),
            "context": row.text("context"),
            "active_organization_id": active if active in self._transfer.organization_ids else None,
            "created_at": at,
            "updated_at": at,
        }


async def import_users(transfer: Transfer) -> None:
    """Import the members of the organizations.

    Raises Invalid if they have ids at Clerk, and nothing is said about their issuer.
    """
    ids = transfer.organization_ids
    members = select(MEMBERS.c.user_id).where(is_any_of(MEMBERS.c.organization_id, ids))
    condition = USERS.c.id.in_(members)
    external = await transfer.source.count(USERS, condition & (USERS.c.clerk_user_id != LOCAL_USER))
    options = transfer.options
    if external and options.issuer is None and not options.keeps_users_without_issuer:
        raise Invalid(
            "issuer_required",
            f"{external} users sign in at Clerk. Name its issuer, such as --issuer"
            " https://clerk.example.com, so that the same people sign in with it; or --no-issuer if"
            " they choose a password instead.",
        )
    accounts = _Accounts(transfer)
    await accounts.load()
    query = select_rows(USERS).where(condition).order_by(USERS.c.id)
    await transfer.copy("users", query, accounts.plan)
    if options.organization is None:
        reason = "not a member of any organization"
        await transfer.leave("users", USERS, USERS.c.id.not_in(select(MEMBERS.c.user_id)), reason)


async def import_members(transfer: Transfer) -> None:
    """Import who belongs to the organizations. An account is a member once."""
    known: set[tuple[UUID, UUID]] = set()
    owned: set[UUID] = set()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        organization_id, user_id = row["organization_id"], transfer.users[row["user_id"]]
        if (organization_id, user_id) in known:
            row.leave("the account is a member already")
            return
        known.add((organization_id, user_id))
        transfer.members[row.id] = organization_id
        role = row.choice("role", Role, Role.MEMBER)
        if role is Role.OWNER:
            owned.add(organization_id)
        values = {
            **{name: row[name] for name in ("id", "organization_id")},
            "user_id": user_id,
            "role": role,
            **{name: row[name] for name in ("all_boards_read", "all_boards_write")},
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Member, values)

    query = select_rows(MEMBERS)
    query = query.where(is_any_of(MEMBERS.c.organization_id, transfer.organization_ids))
    await transfer.copy("members", query.order_by(MEMBERS.c.created_at, MEMBERS.c.id), plan)
    ownerless = transfer.report.organizations.keys() - owned
    transfer.report.ownerless = [transfer.report.organizations[id] for id in sorted(ownerless)]


async def import_board_access(transfer: Transfer) -> None:
    """Import the rights of members on single boards."""

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        member_id, board_id = row["organization_member_id"], row["board_id"]
        organization_id = transfer.members.get(member_id)
        if organization_id is None:
            row.leave("its member is not imported")
        elif transfer.boards.get(board_id) != organization_id:
            row.leave("its board belongs to another organization")
        else:
            values = {"organization_member_id": member_id, **_build_access(row)}
            yield NewRow(BoardAccess, values)

    member_id, ids = BOARD_ACCESS.c.organization_member_id, transfer.organization_ids
    query = select_rows(BOARD_ACCESS).where(is_of(MEMBERS, member_id, ids))
    await transfer.copy("rights on boards", query.order_by(BOARD_ACCESS.c.id), plan)


def _build_access(row: OriginalRow) -> dict[str, object]:
    can_write = row["can_write"]
    return {
        **{name: row[name] for name in ("id", "board_id")},
        "can_read": row["can_read"] or can_write,
        "can_write": can_write,
        "created_at": row.moment(),
        "updated_at": row.moment("updated_at"),
    }


async def import_invites(transfer: Transfer) -> None:
    """Import the invitations. The links of open ones stay valid: their tokens are kept."""
    opened: defaultdict[UUID, set[str]] = defaultdict(set)

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        email = (row["invited_email"] or "").strip().lower()
        organization_id, accepted_at = row["organization_id"], row.time("accepted_at")
        if not is_email(email):
            row.leave("its address is not an e-mail address")
            return
        if accepted_at is None and email in opened[organization_id]:
            row.leave("a newer invitation is open for the same address")
            return
        if accepted_at is None and row["created_by_user_id"] not in transfer.users:
            row.leave("the person who sent it is no longer a member")
            return
        if accepted_at is None:
            opened[organization_id].add(email)
        transfer.invites[row.id] = organization_id
        values = {
            **{name: row[name] for name in ("id", "organization_id")},
            "invited_email": email,
            "token_hash": hash_token(row["token"]),
            "role": row.choice("role", Role, Role.MEMBER),
            **{name: row[name] for name in ("all_boards_read", "all_boards_write")},
            "created_by_user_id": transfer.users.get(row["created_by_user_id"]),
            "accepted_by_user_id": transfer.users.get(row["accepted_by_user_id"]),
            "accepted_at": accepted_at,
            "expires_at": now() + INVITE_LIFETIME,
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Invite, values)

    query = select_rows(INVITES)
    query = query.where(is_any_of(INVITES.c.organization_id, transfer.organization_ids))
    order = (INVITES.c.created_at.desc(), INVITES.c.id)
    await transfer.copy("invitations", query.order_by(*order), plan)

    def plan_access(row: OriginalRow) -> Iterable[NewRow]:
        invite_id, board_id = row["organization_invite_id"], row["board_id"]
        organization_id = transfer.invites.get(invite_id)
        if organization_id is None:
            row.leave("its invitation is not imported")
        elif transfer.boards.get(board_id) != organization_id:
            row.leave("its board belongs to another organization")
        else:
            yield NewRow(
                InviteBoardAccess, {"organization_invite_id": invite_id, **_build_access(row)}
            )

    invite_id, ids = INVITE_ACCESS.c.organization_invite_id, transfer.organization_ids
    query = select_rows(INVITE_ACCESS).where(is_of(INVITES, invite_id, ids))
    await transfer.copy("rights of invitations", query.order_by(INVITE_ACCESS.c.id), plan_access)
