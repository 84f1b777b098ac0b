"""Operations that show what happened, and that search."""

from api.endpoints import activity, metrics, souls
from api.framework.dependencies import active_membership
from api.routes.declare import EITHER, USER, Operation, declare_shared
from api.streams import boards as board_streams

COMMENTS = "/activity/task-comments"
SEARCH = "/search"
DASHBOARD = "/metrics/dashboard"
SOUL_SEARCH = "/souls-directory/search"
SOUL = "/souls-directory/{handle}/{slug}"

OPERATIONS: list[Operation] = [
    Operation("GET", "/activity", activity.list_activity, EITHER, ["activity"]),
    Operation(
        "GET", COMMENTS, activity.list_task_comment_feed, USER, ["activity"], active_membership
    ),
    Operation(
        "GET",
        f"{COMMENTS}/stream",
        board_streams.stream_comments,
        USER,
        ["activity"],
        active_membership,
    ),
    #
    Operation("GET", DASHBOARD, metrics.get_dashboard, USER, ["metrics"], active_membership),
    #
    declare_shared("GET", SEARCH, activity.search_everything, "search", "agent_search"),
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
