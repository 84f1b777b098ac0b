"""Operations of users on their account and organization, its members, tags and fields."""

from api.endpoints import (
    accounts,
    invites,
    members,
    notifications,
    stops,
    task_attributes,
)
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    custom_field_for_update,
    member_for_update,
    owner_membership,
    tag_for_read,
    tag_for_update,
)
from api.routes.declare import USER, Operation

ORGANIZATION = "/organizations/me"
MEMBERS, INVITES = f"{ORGANIZATION}/members", f"{ORGANIZATION}/invites"
MEMBER, INVITE = f"{MEMBERS}/{{member_id}}", f"{INVITES}/{{invite_id}}"
STOP = f"{ORGANIZATION}/stop"
NOTIFICATIONS, PREFERENCES = "/notifications", "/preferences"
TAG = "/tags/{tag_id}"
FIELDS = f"{ORGANIZATION}/custom-fields"
FIELD = f"{FIELDS}/{{task_custom_field_definition_id}}"
ORGANIZATION_TAGS = ["organizations"]
FIELD_TAGS = ["custom fields"]

OPERATIONS: list[Operation] = [
    Operation(
        "POST", "/auth/bootstrap", accounts.bootstrap_user, USER, ["auth"], active_membership
    ),
    Operation("GET", "/users/me", accounts.get_me, USER, ["users"], active_membership),
    Operation("PATCH", "/users/me", accounts.update_me, USER, ["users"]),
    Operation("DELETE", "/users/me", accounts.delete_me, USER, ["users"]),
    #
    Operation("POST", "/organizations", accounts.create_organization, USER, ORGANIZATION_TAGS),
    Operation(
        "GET",
        f"{ORGANIZATION}/list",
        accounts.list_organizations,
        USER,
        ORGANIZATION_TAGS,
        active_membership,
    ),
    Operation(
        "PATCH",
        f"{ORGANIZATION}/active",
        accounts.set_active_organization,
        USER,
        ORGANIZATION_TAGS,
    ),
    Operation(
        "GET",
        ORGANIZATION,
        accounts.get_active_organization,
        USER,
        ORGANIZATION_TAGS,
        active_membership,
    ),
    Operation(
        "DELETE",
        ORGANIZATION,
        accounts.delete_active_organization,
        USER,
        ORGANIZATION_TAGS,
        owner_membership,
    ),
    Operation(
        "GET",
        f"{ORGANIZATION}/member",
        members.get_membership,
        USER,
        ORGANIZATION_TAGS,
        active_membership,
    ),
    Operation("GET", MEMBERS, members.list_members, USER, ORGANIZATION_TAGS, active_membership),
    Operation("GET", MEMBER, members.get_member, USER, ORGANIZATION_TAGS, active_membership),
    Operation("PATCH", MEMBER, members.update_member, USER, ORGANIZATION_TAGS, member_for_update),
    Operation(
        "PUT",
        f"{MEMBER}/access",
        members.update_member_access,
        USER,
        ORGANIZATION_TAGS,
        member_for_update,
    ),
    Operation("DELETE", MEMBER, members.remove_member, USER, ORGANIZATION_TAGS, member_for_update),
    Operation(
        "DELETE",
        f"{MEMBER}/sessions",
        members.end_member_sessions,
        USER,
        ORGANIZATION_TAGS,
        member_for_update,
    ),
    Operation("GET", STOP, stops.get_agent_stop, USER, ORGANIZATION_TAGS, active_membership),
    Operation("POST", STOP, stops.stop_agents, USER, ORGANIZATION_TAGS, admin_membership),
    Operation("DELETE", STOP, stops.resume_agents, USER, ORGANIZATION_TAGS, admin_membership),
    Operation("GET", INVITES, invites.list_invites, USER, ORGANIZATION_TAGS, admin_membership),
    Operation("POST", INVITES, invites.create_invite, USER, ORGANIZATION_TAGS, admin_membership),
    Operation(
        "POST", f"{INVITE}/links", invites.renew_invite, USER, ORGANIZATION_TAGS, admin_membership
    ),
    Operation("DELETE", INVITE, invites.revoke_invite, USER, ORGANIZATION_TAGS, admin_membership),
    Operation(
        "POST", "/organizations/invites/accept", invites.accept_invite, USER, ORGANIZATION_TAGS
    ),
    #
    *[
        Operation(
            method, f"{NOTIFICATIONS}{path}", handler, USER, ["notifications"], active_membership
        )
        for method, path, handler in [
            ("GET", "", notifications.list_notifications),
            ("GET", "/unread-count", notifications.count_unread),
            ("POST", "/read", notifications.mark_all_read),
            ("GET", PREFERENCES, notifications.get_notification_preferences),
            ("PATCH", PREFERENCES, notifications.update_notification_preferences),
            ("POST", "/{notification_id}/read", notifications.mark_read),
        ]
    ],
    #
    Operation("GET", "/tags", task_attributes.list_tags, USER, ["tags"], active_membership),
    Operation("POST", "/tags", task_attributes.create_tag, USER, ["tags"], admin_membership),
    Operation("GET", TAG, task_attributes.get_tag, USER, ["tags"], tag_for_read),
    Operation("PATCH", TAG, task_attributes.update_tag, USER, ["tags"], tag_for_update),
    Operation("DELETE", TAG, task_attributes.delete_tag, USER, ["tags"], tag_for_update),
    #
    Operation(
        "GET",
        FIELDS,
        task_attributes.list_custom_fields,
        USER,
        FIELD_TAGS,
        active_membership,
    ),
    Operation(
        "POST",
        FIELDS,
        task_attributes.create_custom_field,
        USER,
        FIELD_TAGS,
        admin_membership,
    ),
    Operation(
        "PATCH",
        FIELD,
        task_attributes.update_custom_field,
        USER,
        FIELD_TAGS,
        custom_field_for_update,
    ),
    Operation(
        "DELETE",
        FIELD,
        task_attributes.delete_custom_field,
        USER,
        FIELD_TAGS,
        custom_field_for_update,
    ),
]
