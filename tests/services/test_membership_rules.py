"""What a role allows, and what it does not: without a database."""

import pytest

from kit.errors import Forbidden, Invalid
from models import Member, Role, new_id
from services.organizations.rules import (
    check_may_give,
    check_may_touch,
    check_removal,
    check_role_change,
    higher,
)

OWNER, ADMIN, MEMBER = Role.OWNER, Role.ADMIN, Role.MEMBER


def a(role: Role) -> Member:
    return Member(id=new_id(), role=role)


def test_nobody_gives_more_than_they_are_and_touches_who_is_more() -> None:
    for check in (check_may_give, check_may_touch):
        for by, role in [(OWNER, OWNER), (OWNER, MEMBER), (ADMIN, ADMIN), (ADMIN, MEMBER)]:
            check(a(by), role)
        with pytest.raises(Forbidden):
            check(a(ADMIN), OWNER)


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
def test_these_changes_are_allowed(by: Role, member: Role, role: Role, owners: int) -> None:
    check_role_change(a(by), a(member), role, owners=owners)


@pytest.mark.parametrize(
    ("by", "member", "role", "code"),
    [
        (ADMIN, OWNER, OWNER, "owner_required"),
        (ADMIN, OWNER, MEMBER, "owner_required"),
        (ADMIN, MEMBER, OWNER, "role_above_own"),
        (ADMIN, ADMIN, OWNER, "role_above_own"),
    ],
)
def test_these_are_not(by: Role, member: Role, role: Role, code: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        check_role_change(a(by), a(member), role, owners=3)
    assert refusal.value.code == code


def test_the_last_owner_stays_one() -> None:
    last = a(OWNER)
    check_role_change(last, last, OWNER, owners=1)
    with pytest.raises(Invalid) as refusal:
        check_role_change(last, last, ADMIN, owners=1)
    assert (refusal.value.code, refusal.value.field) == ("last_owner", "role")


def test_nobody_removes_themselves_or_who_is_above_them() -> None:
    check_removal(a(OWNER), a(OWNER))
    check_removal(a(ADMIN), a(ADMIN))
    for by, member in [(own := a(OWNER), own), (a(ADMIN), a(OWNER))]:
        with pytest.raises(Forbidden):
            check_removal(by, member)


def test_of_two_roles_the_one_with_more_rights_counts() -> None:
    assert higher(MEMBER, ADMIN) is higher(ADMIN, MEMBER) is ADMIN
    assert higher(OWNER, ADMIN) is OWNER
    assert higher(MEMBER, MEMBER) is MEMBER
