"""What is asked to see what happens, and to find things."""

from api import activity, metrics, search, souls
from api import reach as to
from api.catalogue.declaring import EITHER, USER, Op, either

SAID = "/activity/task-comments"
SOUL = "/souls-directory/{handle}/{slug}"

OPERATIONS: list[Op] = [
    Op("GET", "/activity", activity.list_activity, EITHER, ["activity"]),
    Op("GET", SAID, activity.list_task_comment_feed, USER, ["activity"], to.belonging),
    Op("GET", f"{SAID}/stream", activity.stream_comments, USER, ["activity"], to.belonging),
    #
    Op("GET", "/metrics/dashboard", metrics.get_dashboard, USER, ["metrics"], to.belonging),
    #
    either("GET", "/search", search.search_everything, "search", "agent_search"),
    either("GET", "/souls-directory/search", souls.search, "souls-directory", "agent_soul_search"),
    Op("GET", f"{SOUL}.md", souls.get_markdown, EITHER, ["souls-directory"]),
    either("GET", SOUL, souls.get_markdown, "souls-directory", "agent_soul_lookup"),
]
