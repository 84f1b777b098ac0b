"""Operations that show what happened, and that search."""

from api.endpoints import activity, audit, causes, metrics, search, souls
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    agent_for_read,
    board_for_read,
    owner_membership,
)
from api.routes.declare import EITHER, USER, Operation, declare_shared

COMMENTS = "/activity/task-comments"
SEARCH = "/search"
DASHBOARD = "/metrics/dashboard"
SOUL_SEARCH = "/souls-directory/search"
SOUL = "/souls-directory/{handle}/{slug}"
AUDIT = "/organizations/me/audit"
INSTALLATION_AUDIT = "/installation/audit"
TASK_CAUSES = "/boards/{board_id}/tasks/{task_id}/why"
APPROVAL_CAUSES = "/boards/{board_id}/approvals/{approval_id}/why"
MESSAGE_CAUSES = "/agents/{agent_id}/messages/{message_id}/why"

OPERATIONS: list[Operation] = [
    Operation("GET", "/activity", activity.list_activity, EITHER, ["activity"]),
    Operation(
        "GET", COMMENTS, activity.list_task_comment_feed, USER, ["activity"], active_membership
    ),
    Operation(
        "GET",
        f"{COMMENTS}/stream",
        activity.stream_comments,
        USER,
        ["activity"],
        active_membership,
    ),
    #
    Operation("GET", AUDIT, audit.list_audit_records, USER, ["audit"], admin_membership),
    Operation(
        "GET",
        f"{AUDIT}/communication",
        audit.list_communication,
        USER,
        ["audit"],
        admin_membership,
    ),
    Operation("GET", f"{AUDIT}/export", audit.export_audit, USER, ["audit"], admin_membership),
    Operation(
        "GET",
        INSTALLATION_AUDIT,
        audit.list_installation_audit,
        USER,
        ["audit"],
        owner_membership,
    ),
    Operation(
        "GET",
        f"{INSTALLATION_AUDIT}/export",
        audit.export_installation_audit,
        USER,
        ["audit"],
        owner_membership,
    ),
    #
    Operation("GET", TASK_CAUSES, causes.list_task_causes, USER, ["activity"], board_for_read),
    Operation(
        "GET", APPROVAL_CAUSES, causes.list_approval_causes, USER, ["activity"], board_for_read
    ),
    Operation(
        "GET", MESSAGE_CAUSES, causes.list_message_causes, USER, ["activity"], agent_for_read
    ),
    #
    Operation("GET", DASHBOARD, metrics.get_dashboard, USER, ["metrics"], active_membership),
    #
    declare_shared("GET", SEARCH, search.search_everything, "search", "agent_search"),
    declare_shared("GET", SOUL_SEARCH, souls.search_souls, "souls-directory", "agent_soul_search"),
    Operation(
        "GET",
        f"{SOUL}.md",
        souls.get_soul_markdown,
        EITHER,
        ["souls-directory"],
        id="get_markdown_api_v1_souls_directory__handle___slug__md_get",
    ),
    declare_shared("GET", SOUL, souls.get_soul_markdown, "souls-directory", "agent_soul_lookup"),
]
