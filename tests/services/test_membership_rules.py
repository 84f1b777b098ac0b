"""The rules for roles, without a database."""

import pytest

from core.errors import Forbidden, Invalid
from models import Member, Organization, Role, new_id
from services.organizations.rules import (
    check_may_grant_role,
    check_may_manage_role,
    check_removal,
    check_role_change,
)

OWNER, ADMIN, MEMBER = Role.OWNER, Role.ADMIN, Role.MEMBER


def make_role(role: Role, *, only_owners_appoint: bool = False) -> Member:
    organization = Organization(only_owners_appoint_admins=only_owners_appoint)
    return Member(id=new_id(), role=role, organization=organization)


def test_where_only_owners_appoint_admins_an_admin_grants_only_lower_roles() -> None:
    owner, admin = (make_role(one, only_owners_appoint=True) for one in (OWNER, ADMIN))
    check_may_grant_role(owner, ADMIN)
    check_may_grant_role(admin, MEMBER)
    check_role_change(admin, make_role(ADMIN), ADMIN, owners=1)  # which changes nothing
    with pytest.raises(Forbidden) as error:
        check_role_change(admin, make_role(MEMBER), ADMIN, owners=1)
    assert error.value.code == "only_owners_appoint_admins"


def test_members_grant_and_manage_only_roles_up_to_their_own() -> None:
    for check in (check_may_grant_role, check_may_manage_role):
        for by, role in [(OWNER, OWNER), (OWNER, MEMBER), (ADMIN, ADMIN), (ADMIN, MEMBER)]:
            check(make_role(by), role)
        with pytest.raises(Forbidden):
            check(make_role(ADMIN), OWNER)


@pytest.mark.parametrize(
    ("by", "member", "role", "owners"),
    [
        (OWNER, MEMBER, OWNER, 1),
        (OWNER, ADMIN, MEMBER, 1),
        (OWNER, OWNER, ADMIN, 2),
        (ADMIN, MEMBER, ADMIN, 1),
        (ADMIN, ADMIN, MEMBER, 1),
    ],
)
def test_permitted_role_changes(by: Role, member: Role, role: Role, owners: int) -> None:
    check_role_change(make_role(by), make_role(member), role, owners=owners)


@pytest.mark.parametrize(
    ("by", "member", "role", "code"),
    [
        (ADMIN, OWNER, OWNER, "owner_required"),
        (ADMIN, OWNER, MEMBER, "owner_required"),
        (ADMIN, MEMBER, OWNER, "role_above_own"),
        (ADMIN, ADMIN, OWNER, "role_above_own"),
    ],
)
def test_forbidden_role_changes(by: Role, member: Role, role: Role, code: str) -> None:
    with pytest.raises(Forbidden) as error:
        check_role_change(make_role(by), make_role(member), role, owners=3)
    assert error.value.code == code


def test_the_last_owner_keeps_the_role() -> None:
    last = make_role(OWNER)
    check_role_change(last, last, OWNER, owners=1)
    with pytest.raises(Invalid) as error:
        check_role_change(last, last, ADMIN, owners=1)
    assert (error.value.code, error.value.field) == ("last_owner", "role")


def test_members_remove_neither_themselves_nor_higher_roles() -> None:
    check_removal(make_role(OWNER), make_role(OWNER))
    check_removal(make_role(ADMIN), make_role(ADMIN))
    for by, member in [(own := make_role(OWNER), own), (make_role(ADMIN), make_role(OWNER))]:
        with pytest.raises(Forbidden):
            check_removal(by, member)
