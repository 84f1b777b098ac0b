"""Organizations: tenants, their members with roles and rights on boards, and invitations."""

from services.organizations.commands import (
    add_users_to_demo_organization,
    create_organization,
    delete_organization,
    erase_organizations,
    find_or_accept_membership,
    get_or_create_active_membership,
    has_default_name,
    has_unnamed_organization,
    lock_organization,
    lock_organization_contents,
    mark_removal_read,
    rename_organization,
    set_only_owners_appoint_admins,
    switch_organization,
)
from services.organizations.grants import AccessRights, BoardGrant
from services.organizations.invites import (
    InviteDraft,
    accept_invite,
    create_invite,
    get_open_invite,
    is_invite_for,
    list_pending_invites,
    lock_organization_as_admin,
    revoke_invite,
)
from services.organizations.members import (
    LockedMember,
    change_member_rights,
    change_member_role,
    check_may_manage_role,
    leave_organization,
    lock_member,
    lock_memberships,
    may_appoint_admins,
    remove_member,
    require_admin,
    require_owner,
    require_recent_sign_in,
)
from services.organizations.overview import (
    InviteDetail,
    OrganizationContents,
    SectionCounts,
    count_contents,
    count_owners,
    count_sections,
    list_board_names,
    list_last_active,
    load_invite_details,
    renew_invite,
)
from services.organizations.queries import (
    EndedMembership,
    MemberDetail,
    build_membership,
    current_membership_id_of_user,
    current_membership_id_query,
    find_current_membership,
    find_ended_membership,
    find_membership,
    find_unread_removal,
    get_member,
    list_board_access,
    list_members,
    list_memberships,
)
from services.organizations.stop import (
    COMMAND_LINE,
    AgentStop,
    require_not_stopped,
    resume_agents,
    resume_all_agents,
    stop_agents,
    stop_all_agents,
)
