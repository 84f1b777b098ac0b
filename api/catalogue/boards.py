"""What is asked of a board, its tasks and its approvals."""

from api import (
    approvals,
    board_groups,
    board_streams,
    boards,
    comments,
    onboarding,
    presence,
    read_markers,
    runs,
    snapshots,
    tasks,
)
from api import reach as to
from api.catalogue.declaring import AGENT, EITHER, USER, Op
from api.hints import LEAD, WORKER

BOARD = "/boards/{board_id}"
GROUP = f"{BOARD}/group-snapshot"
TASKS, ASKED = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK, APPROVAL = f"{TASKS}/{{task_id}}", f"{ASKED}/{{approval_id}}"
COMMENTS = f"{TASK}/comments"
ONBOARDING = f"{BOARD}/onboarding"
GROUP_TAGS = ["boards", LEAD, WORKER]
ALL_ASKED = "/approvals"
READING = ["read-markers"]
TALKS = ["board-onboarding"]

OPERATIONS: list[Op] = [
    Op("GET", "/boards", boards.list_boards, USER, ["boards"], to.belonging),
    Op("POST", "/boards", boards.create_board, USER, ["boards"], to.administering),
    Op("GET", BOARD, boards.get_board, USER, ["boards"], to.reading),
    Op("PATCH", BOARD, boards.update_board, USER, ["boards"], to.writing),
    Op("DELETE", BOARD, boards.delete_board, USER, ["boards"], to.governing),
    Op("GET", f"{BOARD}/snapshot", snapshots.get_board_snapshot, EITHER, ["boards"], to.reading),
    Op("GET", GROUP, board_groups.get_board_group_snapshot, EITHER, GROUP_TAGS, to.reading),
    #
    Op("GET", ONBOARDING, onboarding.get_onboarding, USER, TALKS, to.reading),
    Op("POST", f"{ONBOARDING}/start", onboarding.start_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/restart", onboarding.restart_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/answer", onboarding.answer_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/agent", onboarding.update_onboarding, AGENT, TALKS, to.asking),
    Op("POST", f"{ONBOARDING}/confirm", onboarding.confirm_onboarding, USER, TALKS, to.writing),
    #
    Op("GET", TASKS, tasks.list_tasks, EITHER, ["tasks"], to.reading),
    Op("POST", TASKS, tasks.create_task, USER, ["tasks"], to.writing),
    Op("GET", f"{TASKS}/stream", board_streams.stream_tasks, EITHER, ["tasks"], to.reading),
    Op("GET", TASK, tasks.get_task, EITHER, ["tasks"], to.reading),
    Op("PATCH", TASK, tasks.update_task, EITHER, ["tasks"], to.writing),
    Op("DELETE", TASK, tasks.delete_task, USER, ["tasks"], to.writing),
    Op("GET", COMMENTS, comments.list_task_comments, EITHER, ["tasks"], to.reading),
    Op("POST", COMMENTS, comments.create_task_comment, EITHER, ["tasks"], to.writing),
    Op("GET", f"{TASK}/runs", runs.list_task_runs, USER, ["tasks"], to.reading),
    #
    Op("GET", "/unread", read_markers.list_unread, USER, READING, to.belonging),
    Op("PUT", f"{BOARD}/read-markers/{{kind}}", read_markers.mark_read, USER, READING, to.reading),
    Op("PUT", f"{TASK}/read-marker", read_markers.mark_comments_read, USER, READING, to.reading),
    Op("GET", f"{BOARD}/presence", presence.get_presence, EITHER, ["boards"], to.reading),
    #
    Op("GET", ALL_ASKED, approvals.list_all_approvals, USER, ["approvals"], to.belonging),
    Op("POST", f"{ALL_ASKED}/decisions", approvals.decide_approvals, USER, ["approvals"]),
    Op("GET", ASKED, approvals.list_approvals, EITHER, ["approvals"], to.reading),
    Op("POST", ASKED, approvals.create_approval, EITHER, ["approvals"], to.writing),
    Op("GET", f"{ASKED}/stream", board_streams.stream_approvals, EITHER, ["approvals"], to.reading),
    Op("PATCH", APPROVAL, approvals.update_approval, USER, ["approvals"], to.writing),
]
