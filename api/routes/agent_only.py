"""Operations under /agent that only agents may call."""

from api.endpoints import (
    agents,
    approvals,
    board_webhooks,
    boards,
    coordination,
    memory,
    messages,
    onboarding,
    skills,
    souls,
    tasks,
)
from api.endpoints.memory import (
    board_memory_for_read,
    board_memory_for_update,
)
from api.framework.dependencies import (
    board_for_asking,
    board_for_lead,
    board_for_read,
    board_for_update,
    board_of_gateway_agent,
)
from api.routes.declare import Operation, declare_agent, declare_agent_memory

BOARD = "/boards/{board_id}"
TASKS, APPROVALS = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK = f"{TASKS}/{{task_id}}"
COMMENTS = f"{TASK}/comments"
MEMORY = f"{BOARD}/memory"
NOTE = f"{MEMORY}/{{memory_id}}"
PAYLOAD = f"{BOARD}/webhooks/{{webhook_id}}/payloads/{{payload_id}}"
ONBOARDING = f"{BOARD}/onboarding"
MESSAGES = "/messages"
AGENT = f"{BOARD}/agents/{{agent_id}}"
SKILL_FILES = "/skills/{skill_id}/versions/{digest}"
SOUL = f"{AGENT}/soul"
ASK_USER = f"{BOARD}/gateway/main/ask-user"
LEAD_MESSAGE = "/gateway/boards/{board_id}/lead/message"
LEAD_BROADCAST = "/gateway/leads/broadcast"


OPERATIONS: list[Operation] = [
    declare_agent("GET", "/healthz", agents.get_agent_health, "agent_auth_health"),
    declare_agent("POST", "/heartbeat", agents.record_agent_heartbeat, "agent_heartbeat"),
    declare_agent("GET", MESSAGES, messages.list_my_messages, "agent_message_discovery"),
    declare_agent("GET", f"{MESSAGES}/stream", messages.stream_my_messages, "agent_message_stream"),
    declare_agent(
        "POST", f"{MESSAGES}/{{message_id}}/ack", messages.acknowledge_message, "agent_message_ack"
    ),
    declare_agent("GET", "/boards", boards.list_agent_boards, "agent_board_discovery"),
    declare_agent("GET", BOARD, boards.get_board, "agent_board_lookup", board_for_read),
    declare_agent("GET", "/agents", agents.list_agents_for_agent, "agent_roster_discovery"),
    declare_agent(
        "POST", "/agents", agents.create_agent_as_lead, "agent_management", board_for_lead
    ),
    declare_agent("GET", TASKS, tasks.list_tasks, "agent_board_task_discovery", board_for_read),
    declare_agent("POST", TASKS, tasks.create_task, "delegate_work", board_for_lead),
    declare_agent("GET", TASK, tasks.get_task, "agent_board_task_lookup", board_for_read),
    declare_agent("PATCH", TASK, tasks.update_task, "agent_task_update", board_for_update),
    declare_agent("DELETE", TASK, tasks.delete_task, "agent_task_delete", board_for_lead),
    declare_agent(
        "GET",
        COMMENTS,
        tasks.list_task_comments,
        "agent_task_comment_discovery",
        board_for_read,
    ),
    declare_agent(
        "POST",
        COMMENTS,
        tasks.create_task_comment,
        "agent_task_comment_create",
        board_for_update,
    ),
    declare_agent(
        "POST",
        ONBOARDING,
        onboarding.update_onboarding,
        "agent_board_onboarding_update",
        board_of_gateway_agent,
    ),
    declare_agent(
        "GET",
        f"{BOARD}/tags",
        tasks.list_board_tags,
        "agent_board_tag_discovery",
        board_for_read,
    ),
    declare_agent(
        "GET",
        PAYLOAD,
        board_webhooks.get_webhook_payload,
        "agent_board_webhook_payload_read",
        board_for_read,
    ),
    declare_agent_memory(
        "GET", MEMORY, memory.list_board_memory, "discovery", board_memory_for_read
    ),
    declare_agent_memory(
        "POST", MEMORY, memory.create_board_memory, "record", board_memory_for_update
    ),
    declare_agent_memory("GET", NOTE, memory.get_board_memory, "lookup", board_memory_for_read),
    declare_agent_memory(
        "PATCH", NOTE, memory.update_board_memory, "update", board_memory_for_update
    ),
    declare_agent_memory("DELETE", NOTE, memory.delete_memory, "delete", board_memory_for_update),
    declare_agent(
        "GET", APPROVALS, approvals.list_approvals, "agent_board_approval_discovery", board_for_read
    ),
    declare_agent(
        "POST",
        APPROVALS,
        approvals.create_approval,
        "agent_board_approval_request",
        board_for_update,
    ),
    #
    declare_agent(
        "POST", f"{AGENT}/nudge", coordination.nudge_agent, "agent_coordination", board_for_lead
    ),
    declare_agent("GET", SKILL_FILES, skills.get_skill_files, "agent_skill_files"),
    declare_agent("GET", SOUL, souls.get_agent_soul, "agent_board_soul_lookup", board_for_read),
    declare_agent(
        "PUT",
        f"{AGENT}/soul",
        souls.update_agent_soul,
        "agent_knowledge_authoring",
        board_for_lead,
    ),
    declare_agent("DELETE", AGENT, agents.delete_board_agent, "agent_lifecycle", board_for_lead),
    declare_agent("POST", ASK_USER, coordination.ask_user, "human_escalation", board_for_asking),
    declare_agent(
        "POST",
        LEAD_MESSAGE,
        coordination.message_board_lead,
        "lead_direct_routing",
        board_of_gateway_agent,
    ),
    declare_agent(
        "POST", LEAD_BROADCAST, coordination.broadcast_to_leads, "lead_broadcast_routing"
    ),
]
