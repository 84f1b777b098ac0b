"""What agents alone may ask, under /agent."""

from api import (
    agent,
    agents,
    approvals,
    boards,
    comments,
    coordination,
    memory,
    message_streams,
    messages,
    onboarding,
    tasks,
)
from api import reach as to
from api import reach_groups as near
from api.catalogue.declaring import Op, only
from api.operations import Handler, Reach

BOARD = "/boards/{board_id}"
TASKS, ASKED = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK = f"{TASKS}/{{task_id}}"
COMMENTS = f"{TASK}/comments"
MEMORY = f"{BOARD}/memory"
NOTE = f"{MEMORY}/{{memory_id}}"
ONBOARDING = f"{BOARD}/onboarding"
MAIL = "/messages"
CREW = f"{BOARD}/agents/{{agent_id}}"
SOUL = f"{CREW}/soul"
ASK = f"{BOARD}/gateway/main/ask-user"
TO_LEAD = "/gateway/boards/{board_id}/lead/message"
TO_LEADS = "/gateway/leads/broadcast"


def noted(method: str, path: str, handler: Handler, deed: str, reach: Reach) -> Op:
    """Declare what agents alone may do, under /agent, with the memory of a board."""
    return only(method, path, handler, f"agent_board_memory_{deed}", reach)


OPERATIONS: list[Op] = [
    only("GET", "/healthz", agent.agent_healthz, "agent_auth_health"),
    only("POST", "/heartbeat", agent.agent_heartbeat, "agent_heartbeat"),
    only("GET", MAIL, messages.list_my_messages, "agent_message_discovery"),
    only("GET", f"{MAIL}/stream", message_streams.stream_my_messages, "agent_message_stream"),
    only("POST", f"{MAIL}/{{message_id}}/ack", messages.acknowledge_message, "agent_message_ack"),
    only("GET", "/boards", agent.list_boards, "agent_board_discovery"),
    only("GET", BOARD, boards.get_board, "agent_board_lookup", to.reading),
    only("GET", "/agents", agent.list_agents, "agent_roster_discovery"),
    only("POST", "/agents", agents.create_agent_of_lead, "agent_management", to.leading),
    only("GET", TASKS, tasks.list_tasks, "agent_board_task_discovery", to.reading),
    only("POST", TASKS, tasks.create_task, "delegate_work", to.leading),
    only("GET", TASK, tasks.get_task, "agent_board_task_lookup", to.reading),
    only("PATCH", TASK, tasks.update_task, "agent_task_update", to.writing),
    only("DELETE", TASK, tasks.delete_task, "agent_task_delete", to.leading),
    only("GET", COMMENTS, comments.list_task_comments, "agent_task_comment_discovery", to.reading),
    only("POST", COMMENTS, comments.create_task_comment, "agent_task_comment_create", to.writing),
    only(
        "POST", ONBOARDING, onboarding.update_onboarding, "agent_board_onboarding_update", to.asking
    ),
    only("GET", f"{BOARD}/tags", agent.list_tags, "agent_board_tag_discovery", to.reading),
    noted("GET", MEMORY, memory.list_board_memory, "discovery", near.notes_to_read),
    noted("POST", MEMORY, memory.create_board_memory, "record", near.notes_to_change),
    noted("GET", NOTE, memory.get_board_memory, "lookup", near.notes_to_read),
    noted("PATCH", NOTE, memory.update_board_memory, "update", near.notes_to_change),
    noted("DELETE", NOTE, memory.delete_memory, "delete", near.notes_to_change),
    only("GET", ASKED, approvals.list_approvals, "agent_board_approval_discovery", to.reading),
    only("POST", ASKED, approvals.create_approval, "agent_board_approval_request", to.writing),
    #
    only("POST", f"{CREW}/nudge", coordination.nudge_agent, "agent_coordination", to.leading),
    only("GET", SOUL, coordination.get_agent_soul, "agent_board_soul_lookup", to.reading),
    only(
        "PUT",
        f"{CREW}/soul",
        coordination.update_agent_soul,
        "agent_knowledge_authoring",
        to.leading,
    ),
    only("DELETE", CREW, coordination.delete_board_agent, "agent_lifecycle", to.leading),
    only("POST", ASK, coordination.ask_user, "human_escalation", to.leading),
    only("POST", TO_LEAD, coordination.message_board_lead, "lead_direct_routing", to.asking),
    only("POST", TO_LEADS, coordination.broadcast_to_leads, "lead_broadcast_routing"),
]
