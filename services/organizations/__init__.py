"""Organizations: which one somebody works in, who belongs to them, and how they come and go."""

from services.organizations.acceptance import accept_invite, is_for, open_invite
from services.organizations.belonging import (
    current,
    current_id,
    membership,
    memberships,
    own_access,
)
from services.organizations.deletion import delete_organization, erase, hold_contents
from services.organizations.edits import create, rename, switch
from services.organizations.first_contact import active, invited
from services.organizations.grants import Grant, Rights
from services.organizations.invites import InviteDraft, invite, pending_invites, revoke_invite
from services.organizations.lists import MemberDetail
from services.organizations.lists import listed as members
from services.organizations.lists import one as member
from services.organizations.roles import (
    HeldMember,
    change_rights,
    change_role,
    hold_member,
    remove,
)
from services.organizations.rules import require_admin, require_owner

__all__ = [
    "Grant",
    "HeldMember",
    "InviteDraft",
    "MemberDetail",
    "Rights",
    "accept_invite",
    "active",
    "change_rights",
    "change_role",
    "create",
    "current",
    "current_id",
    "delete_organization",
    "erase",
    "hold_contents",
    "hold_member",
    "invite",
    "invited",
    "is_for",
    "member",
    "members",
    "membership",
    "memberships",
    "open_invite",
    "own_access",
    "pending_invites",
    "remove",
    "rename",
    "require_admin",
    "require_owner",
    "revoke_invite",
    "switch",
]
