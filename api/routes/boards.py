"""Operations on boards, tasks, comments, approvals and incoming webhooks."""

from api.endpoints import (
    approvals,
    board_groups,
    board_webhooks,
    boards,
    onboarding,
    presence,
    tasks,
)
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_admin,
    board_for_read,
    board_for_update,
    board_of_gateway_agent,
)
from api.openapi.board_hints import LEAD, WORKER
from api.routes.declare import AGENT, ANYONE, EITHER, USER, Operation

BOARD = "/boards/{board_id}"
GROUP_SNAPSHOT = f"{BOARD}/group-snapshot"
TASKS, APPROVALS = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK, APPROVAL = f"{TASKS}/{{task_id}}", f"{APPROVALS}/{{approval_id}}"
COMMENTS = f"{TASK}/comments"
ONBOARDING = f"{BOARD}/onboarding"
GROUP_TAGS = ["boards", LEAD, WORKER]
ALL_APPROVALS = "/approvals"
WEBHOOKS = f"{BOARD}/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{webhook_id}}"
PAYLOADS = f"{WEBHOOK}/payloads"
WEBHOOK_TAGS = ["board-webhooks"]
READ_MARKER_TAGS = ["read-markers"]
ONBOARDING_TAGS = ["board-onboarding"]

OPERATIONS: list[Operation] = [
    Operation("GET", "/boards", boards.list_boards, USER, ["boards"], active_membership),
    Operation("POST", "/boards", boards.create_board, USER, ["boards"], admin_membership),
    Operation("GET", BOARD, boards.get_board, USER, ["boards"], board_for_read),
    Operation("PATCH", BOARD, boards.update_board, USER, ["boards"], board_for_update),
    Operation("DELETE", BOARD, boards.delete_board, USER, ["boards"], board_for_admin),
    Operation(
        "GET",
        f"{BOARD}/snapshot",
        boards.get_board_snapshot,
        EITHER,
        ["boards"],
        board_for_read,
    ),
    Operation(
        "GET",
        GROUP_SNAPSHOT,
        board_groups.get_board_group_snapshot,
        EITHER,
        GROUP_TAGS,
        board_for_read,
    ),
    #
    Operation("GET", ONBOARDING, onboarding.get_onboarding, USER, ONBOARDING_TAGS, board_for_read),
    Operation(
        "POST",
        f"{ONBOARDING}/start",
        onboarding.start_onboarding,
        USER,
        ONBOARDING_TAGS,
        board_for_update,
    ),
    Operation(
        "POST",
        f"{ONBOARDING}/restart",
        onboarding.restart_onboarding,
        USER,
        ONBOARDING_TAGS,
        board_for_update,
    ),
    Operation(
        "POST",
        f"{ONBOARDING}/answer",
        onboarding.answer_onboarding,
        USER,
        ONBOARDING_TAGS,
        board_for_update,
    ),
    Operation(
        "POST",
        f"{ONBOARDING}/agent",
        onboarding.update_onboarding,
        AGENT,
        ONBOARDING_TAGS,
        board_of_gateway_agent,
    ),
    Operation(
        "POST",
        f"{ONBOARDING}/confirm",
        onboarding.confirm_onboarding,
        USER,
        ONBOARDING_TAGS,
        board_for_update,
    ),
    #
    Operation("GET", TASKS, tasks.list_tasks, EITHER, ["tasks"], board_for_read),
    Operation("POST", TASKS, tasks.create_task, USER, ["tasks"], board_for_update),
    Operation("GET", f"{TASKS}/stream", tasks.stream_tasks, EITHER, ["tasks"], board_for_read),
    Operation("GET", TASK, tasks.get_task, EITHER, ["tasks"], board_for_read),
    Operation("PATCH", TASK, tasks.update_task, EITHER, ["tasks"], board_for_update),
    Operation("DELETE", TASK, tasks.delete_task, USER, ["tasks"], board_for_update),
    Operation("GET", COMMENTS, tasks.list_task_comments, EITHER, ["tasks"], board_for_read),
    Operation(
        "POST",
        COMMENTS,
        tasks.create_task_comment,
        EITHER,
        ["tasks"],
        board_for_update,
    ),
    Operation("GET", f"{TASK}/links", tasks.list_task_links, EITHER, ["tasks"], board_for_read),
    *[
        Operation(method, f"{TASK}/watchers{path}", handler, USER, ["tasks"], board_for_read)
        for method, path, handler in [
            ("GET", "", tasks.list_task_watchers),
            ("PUT", "/me", tasks.watch_task),
            ("DELETE", "/me", tasks.unwatch_task),
        ]
    ],
    Operation("GET", f"{TASK}/runs", tasks.list_task_runs, USER, ["tasks"], board_for_read),
    #
    Operation("GET", "/unread", presence.list_unread, USER, READ_MARKER_TAGS, active_membership),
    Operation(
        "PUT",
        f"{BOARD}/read-markers/{{kind}}",
        presence.mark_read,
        USER,
        READ_MARKER_TAGS,
        board_for_read,
    ),
    Operation(
        "PUT",
        f"{TASK}/read-marker",
        presence.mark_comments_read,
        USER,
        READ_MARKER_TAGS,
        board_for_read,
    ),
    Operation(
        "GET", f"{BOARD}/presence", presence.get_presence, EITHER, ["boards"], board_for_read
    ),
    #
    Operation(
        "GET", ALL_APPROVALS, approvals.list_all_approvals, USER, ["approvals"], active_membership
    ),
    Operation(
        "POST", f"{ALL_APPROVALS}/decisions", approvals.decide_approvals, USER, ["approvals"]
    ),
    Operation("GET", APPROVALS, approvals.list_approvals, EITHER, ["approvals"], board_for_read),
    Operation(
        "POST", APPROVALS, approvals.create_approval, EITHER, ["approvals"], board_for_update
    ),
    Operation(
        "GET",
        f"{APPROVALS}/stream",
        approvals.stream_approvals,
        EITHER,
        ["approvals"],
        board_for_read,
    ),
    Operation("PATCH", APPROVAL, approvals.update_approval, USER, ["approvals"], board_for_update),
    #
    Operation(
        "GET", WEBHOOKS, board_webhooks.list_board_webhooks, USER, WEBHOOK_TAGS, board_for_read
    ),
    Operation(
        "POST", WEBHOOKS, board_webhooks.create_board_webhook, USER, WEBHOOK_TAGS, board_for_update
    ),
    Operation("GET", WEBHOOK, board_webhooks.get_board_webhook, USER, WEBHOOK_TAGS, board_for_read),
    Operation(
        "PATCH", WEBHOOK, board_webhooks.update_board_webhook, USER, WEBHOOK_TAGS, board_for_update
    ),
    Operation(
        "DELETE", WEBHOOK, board_webhooks.delete_board_webhook, USER, WEBHOOK_TAGS, board_for_update
    ),
    Operation("POST", WEBHOOK, board_webhooks.ingest_board_webhook, ANYONE, WEBHOOK_TAGS),
    Operation(
        "GET",
        PAYLOADS,
        board_webhooks.list_board_webhook_payloads,
        USER,
        WEBHOOK_TAGS,
        board_for_read,
    ),
    Operation(
        "GET",
        f"{PAYLOADS}/{{payload_id}}",
        board_webhooks.get_board_webhook_payload,
        USER,
        WEBHOOK_TAGS,
        board_for_read,
    ),
]
