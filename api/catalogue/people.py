"""What people ask of their account and their organization."""

from api import (
    custom_fields,
    invites,
    members,
    organizations,
    tags,
    users,
)
from api import reach as to
from api.catalogue.declaring import USER, Op

ORG = "/organizations/me"
MEMBERS, INVITES = f"{ORG}/members", f"{ORG}/invites"
MEMBER, INVITE = f"{MEMBERS}/{{member_id}}", f"{INVITES}/{{invite_id}}"
TAG = "/tags/{tag_id}"
FIELDS = f"{ORG}/custom-fields"
FIELD = f"{FIELDS}/{{task_custom_field_definition_id}}"
ORGS = ["organizations"]
OF_FIELDS = ["custom fields"]

OPERATIONS: list[Op] = [
    Op("POST", "/auth/bootstrap", users.bootstrap_user, USER, ["auth"], to.belonging),
    Op("GET", "/users/me", users.get_me, USER, ["users"], to.belonging),
    Op("PATCH", "/users/me", users.update_me, USER, ["users"]),
    Op("DELETE", "/users/me", users.delete_me, USER, ["users"]),
    #
    Op("POST", "/organizations", organizations.create_organization, USER, ORGS),
    Op("GET", f"{ORG}/list", organizations.list_mine, USER, ORGS, to.belonging),
    Op("PATCH", f"{ORG}/active", organizations.set_active, USER, ORGS),
    Op("GET", ORG, organizations.get_mine, USER, ORGS, to.belonging),
    Op("DELETE", ORG, organizations.delete_mine, USER, ORGS, to.owning),
    Op("GET", f"{ORG}/member", members.get_membership, USER, ORGS, to.belonging),
    Op("GET", MEMBERS, members.list_members, USER, ORGS, to.belonging),
    Op("GET", MEMBER, members.get_member, USER, ORGS, to.belonging),
    Op("PATCH", MEMBER, members.update_member, USER, ORGS, to.member_to_change),
    Op("PUT", f"{MEMBER}/access", members.update_member_access, USER, ORGS, to.member_to_change),
    Op("DELETE", MEMBER, members.remove_member, USER, ORGS, to.member_to_change),
    Op("GET", INVITES, invites.list_invites, USER, ORGS, to.administering),
    Op("POST", INVITES, invites.create_invite, USER, ORGS, to.administering),
    Op("DELETE", INVITE, invites.revoke_invite, USER, ORGS, to.administering),
    Op("POST", "/organizations/invites/accept", invites.accept_invite, USER, ORGS),
    #
    Op("GET", "/tags", tags.list_tags, USER, ["tags"], to.belonging),
    Op("POST", "/tags", tags.create_tag, USER, ["tags"], to.administering),
    Op("GET", TAG, tags.get_tag, USER, ["tags"], to.tag_to_read),
    Op("PATCH", TAG, tags.update_tag, USER, ["tags"], to.tag_to_change),
    Op("DELETE", TAG, tags.delete_tag, USER, ["tags"], to.tag_to_change),
    #
    Op("GET", FIELDS, custom_fields.list_custom_fields, USER, OF_FIELDS, to.belonging),
    Op("POST", FIELDS, custom_fields.create_custom_field, USER, OF_FIELDS, to.administering),
    Op("PATCH", FIELD, custom_fields.update_custom_field, USER, OF_FIELDS, to.field_to_change),
    Op("DELETE", FIELD, custom_fields.delete_custom_field, USER, OF_FIELDS, to.field_to_change),
]
