"""Organizations: tenants, their members with roles and rights on boards, and invitations."""

from services.organizations.commands import (
    ORGANIZATION_CREATION,
    OrganizationCreate,
    add_users_to_demo_organization,
    create_organization,
    delete_organization,
    erase_organizations,
    find_or_accept_membership,
    get_or_create_active_membership,
    has_default_name,
    mark_removal_read,
    rename_organization,
    set_only_owners_appoint_admins,
    switch_organization,
)
from services.organizations.grants import AccessRights, BoardGrant
from services.organizations.invites import (
    InviteCreate,
    InviteDetail,
    Invitee,
    accept_invite,
    create_invite,
    end_invites,
    get_open_invite,
    is_invite_for,
    list_pending_invites,
    load_invite_details,
    renew_invite,
    revoke_invite,
)
from services.organizations.locks import (
    build_keeping_condition,
    lock_memberships,
    lock_organization,
    lock_organization_as_admin,
    lock_organization_contents,
    lock_user,
)
from services.organizations.members import (
    ACCESS_LOSS,
    AccessLoss,
    LockedMember,
    MemberUpdate,
    change_member_rights,
    change_member_role,
    leave_organization,
    lock_member,
    remove_member,
)
from services.organizations.queries import (
    EndedMembership,
    MemberDetail,
    build_membership,
    count_contents,
    count_owners,
    count_sections,
    current_membership_id_of_user,
    current_membership_id_query,
    find_current_membership,
    find_ended_membership,
    find_membership,
    find_unread_removal,
    get_member,
    list_board_access,
    list_board_names,
    list_last_active,
    list_members,
    list_memberships,
)
from services.organizations.rules import (
    ROLE_RANK,
    check_may_manage_role,
    may_appoint_admins,
    require_admin,
    require_owner,
    require_recent_sign_in,
)
from services.organizations.stop import (
    COMMAND_LINE,
    AgentStop,
    AgentStopCreate,
    require_not_stopped,
    resume_agents,
    resume_all_agents,
    stop_agents,
    stop_all_agents,
)
