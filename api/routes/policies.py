"""Operations on approval policies."""

from api.endpoints import policies
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_admin,
    board_for_read,
)
from api.routes.declare import USER, Operation

TAGS = ["approval-policies"]
ORGANIZATION_POLICY = "/organizations/me/approval-policy"
BOARD_POLICY = "/boards/{board_id}/approval-policy"

OPERATIONS: list[Operation] = [
    Operation(
        "GET",
        ORGANIZATION_POLICY,
        policies.get_organization_policy,
        USER,
        TAGS,
        active_membership,
    ),
    Operation(
        "PUT",
        ORGANIZATION_POLICY,
        policies.replace_organization_policy,
        USER,
        TAGS,
        admin_membership,
    ),
    Operation(
        "POST",
        f"{ORGANIZATION_POLICY}/simulations",
        policies.simulate_organization_policy,
        USER,
        TAGS,
        active_membership,
    ),
    Operation("GET", BOARD_POLICY, policies.get_board_policy, USER, TAGS, board_for_read),
    Operation("PUT", BOARD_POLICY, policies.replace_board_policy, USER, TAGS, board_for_admin),
    Operation(
        "POST",
        f"{BOARD_POLICY}/simulations",
        policies.simulate_board_policy,
        USER,
        TAGS,
        board_for_read,
    ),
]
