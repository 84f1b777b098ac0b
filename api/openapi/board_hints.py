"""Define hints for agents, and those of operations on boards, tasks, approvals and agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAD, WORKER, MAIN = "agent-lead", "agent-worker", "agent-main"
ALL_AGENTS, BOARD_AGENTS, LEAD_ONLY = (LEAD, WORKER, MAIN), (LEAD, WORKER), (LEAD,)
ANY_AGENT, BOARD_LEAD = "any_agent", "board_lead"


@dataclass(frozen=True, kw_only=True)
class OperationHint:
    """When to use an operation, and when not."""

    when: str
    not_when: str
    tags: tuple[str, ...] = BOARD_AGENTS
    required_actor: str = ANY_AGENT
    prerequisites: tuple[str, ...] = ("A token of an agent",)
    side_effects: tuple[str, ...] = ()
    negative_guidance: str = ""
    operation_id: str = ""  # if it is not made from handler and path

    def build_extensions(self, intent: str) -> Mapping[str, Any]:
        """Return the x-… keys of the operation."""
        privilege = self.required_actor
        return {
            "x-llm-intent": intent,
            "x-when-to-use": [self.when],
            "x-when-not-to-use": [self.not_when],
            "x-required-actor": self.required_actor,
            "x-prerequisites": list(self.prerequisites),
            "x-side-effects": list(self.side_effects)
            or ["None, except that your last_seen_at is updated"],
            "x-negative-guidance": [
                self.negative_guidance or f"Do not use it when {_lower(self.not_when)}"
            ],
            "x-routing-policy": [f"Use it when {_lower(self.when)}"],
            "x-routing-policy-examples": [
                {
                    "input": {"intent": _lower(self.when), "required_privilege": privilege},
                    "decision": intent,
                }
            ],
        }


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


NEEDS_OWN_BOARD = ("A token of an agent", "The board is your own")
NEEDS_LEAD_TOKEN = ("A token of the board's lead",)

HINTS: Mapping[str, OperationHint] = {
    "agent_auth_health": OperationHint(
        operation_id="agent_healthz_api_v1_agent_healthz_get",
        tags=ALL_AGENTS,
        when="You want to check your token, and which agent you are",
        not_when="You want to record a heartbeat: use the heartbeat operation",
    ),
    "agent_heartbeat": OperationHint(
        operation_id="agent_heartbeat_api_v1_agent_heartbeat_post",
        tags=ALL_AGENTS,
        when="You are working, and your next heartbeat is due",
        not_when="You have just called another operation: every call counts as activity",
        side_effects=("You are online, and your last_seen_at is updated",),
    ),
    "agent_board_discovery": OperationHint(
        operation_id="list_boards_api_v1_agent_boards_get",
        tags=ALL_AGENTS,
        when="You do not know yet on which board you work",
        not_when="You know the id of your board",
    ),
    "agent_board_lookup": OperationHint(
        tags=ALL_AGENTS,
        when="You want the goal of your board, or its rules for tasks",
        not_when="You are looking for its tasks",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "agent_roster_discovery": OperationHint(
        operation_id="list_agents_api_v1_agent_agents_get",
        tags=ALL_AGENTS,
        when="You want to know the other agents of your board, and who is online",
        not_when="You only want to mention the lead: @lead always works",
    ),
    "agent_management": OperationHint(
        operation_id="agent_lead_create_agent",
        tags=LEAD_ONLY,
        when="The board has more work than its workers can do, and may have another worker",
        not_when="An idle worker can do it",
        required_actor=BOARD_LEAD,
        prerequisites=(*NEEDS_LEAD_TOKEN, "Fewer workers than the board's max_agents"),
        side_effects=("An agent is created; its token is in the response, once",),
        negative_guidance="Do not create an agent for a single small task",
    ),
    "agent_board_task_discovery": OperationHint(
        when="You are looking for work, or want to see the state of the board",
        not_when="You know the id of the task: get it by its id",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "agent_board_task_lookup": OperationHint(
        when="You know the id of a task, and want its current state",
        not_when="You are looking for new work: list the tasks",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "delegate_work": OperationHint(
        operation_id="agent_lead_create_task",
        tags=LEAD_ONLY,
        when="There is work without a task",
        not_when="There is already a task for it: change that task",
        required_actor=BOARD_LEAD,
        prerequisites=NEEDS_LEAD_TOKEN,
        side_effects=("A task is created", "Its assignee is notified"),
    ),
    "agent_task_update": OperationHint(
        when="You claim a task, change its status, assign it, or comment on it",
        not_when="You only want to comment: create a comment instead; leads must do so",
        prerequisites=(
            *NEEDS_OWN_BOARD,
            "A worker changes the status only of its own or unassigned tasks",
        ),
        side_effects=("The task changes", "Users with the board open see it at once"),
        negative_guidance="Do not repeat a rejected change: read its code, and meet its condition "
        "first",
    ),
    "agent_task_delete": OperationHint(
        when="A task was created by mistake",
        not_when="The task is done or abandoned: change its status and give the reason",
        required_actor=BOARD_LEAD,
        prerequisites=NEEDS_LEAD_TOKEN,
        side_effects=("The task and its comments are deleted",),
        negative_guidance="Do not delete what others have worked on",
    ),
    "agent_task_comment_discovery": OperationHint(
        when="You start on a task, and want to read its comments",
        not_when="You want the text of the task: read its description",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "agent_task_comment_create": OperationHint(
        when="You have progress, a question or a result to report on a task",
        not_when="You need a decision by a person: request an approval",
        prerequisites=(
            *NEEDS_OWN_BOARD,
            "A lead comments in review, where it is mentioned, and on its own tasks",
        ),
        side_effects=("Mentioned agents are notified; without a mention, the assignee",),
    ),
    "agent_board_tag_discovery": OperationHint(
        operation_id="list_tags_api_v1_agent_boards__board_id__tags_get",
        when="You want to tag tasks, and need the existing tags",
        not_when="You want the tags of one task: they are part of the task",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "agent_lifecycle": OperationHint(
        tags=LEAD_ONLY,
        required_actor=BOARD_LEAD,
        when="A worker of your board is no longer needed",
        not_when="It is only idle: assign it a task",
        prerequisites=NEEDS_LEAD_TOKEN,
        side_effects=("The agent is deleted, and its tasks return to the inbox",),
        operation_id="agent_lead_delete_board_agent",
    ),
    "agent_board_approval_discovery": OperationHint(
        when="You requested an approval, and want to know whether it was decided",
        not_when="You can use the stream of approvals instead of polling",
        prerequisites=NEEDS_OWN_BOARD,
    ),
    "agent_board_approval_request": OperationHint(
        when="A person has to agree before you go on, or before a task may be done",
        not_when="The task already has a pending approval; wait for the decision",
        prerequisites=(
            *NEEDS_OWN_BOARD,
            "A reason, in payload.reason or lead_reasoning",
            "To let a task be done: action_type task.complete, after all other changes of the task",
        ),
        side_effects=("Users of the board can decide; the decision is in the approval's status",),
        negative_guidance="Do not send a status other than pending: the requester does not decide",
    ),
}
