"""What agents pick an operation by in the OpenAPI document (contract, agents 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAD, WORKER, MAIN = "agent-lead", "agent-worker", "agent-main"
EVERYBODY, TEAM, LEAD_ALONE = (LEAD, WORKER, MAIN), (LEAD, WORKER), (LEAD,)
ANY, OF_LEAD = "any_agent", "board_lead"


@dataclass(frozen=True, kw_only=True)
class Hint:
    """When an operation is the right one, and when it is not."""

    when: str
    not_when: str
    tags: tuple[str, ...] = TEAM
    actor: str = ANY
    needs: tuple[str, ...] = ("A token of an agent",)
    effects: tuple[str, ...] = ()
    never: str = ""
    operation_id: str = ""  # where the contract has one that is not made of the path

    def keys(self, intent: str) -> Mapping[str, Any]:
        """Return the x-… keys of the operation."""
        privilege = self.actor
        return {
            "x-llm-intent": intent,
            "x-when-to-use": [self.when],
            "x-when-not-to-use": [self.not_when],
            "x-required-actor": self.actor,
            "x-prerequisites": list(self.needs),
            "x-side-effects": list(self.effects) or ["None but that you count as seen"],
            "x-negative-guidance": [self.never or f"Do not use it when {_lower(self.not_when)}"],
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


ON_BOARD = ("A token of an agent", "The board is your own")
LEADS = ("A token of the board's lead",)

HINTS = {
    "agent_auth_health": Hint(
        tags=EVERYBODY,
        when="You want to know whether your token works, and who you are",
        not_when="You mean to check in: that is what the heartbeat is for",
    ),
    "agent_heartbeat": Hint(
        tags=EVERYBODY,
        when="You are at work, and it is time to say so",
        not_when="You have just called anything else: that counts as a sign of life too",
        effects=("You are online, and when you were last seen is written down",),
    ),
    "agent_message_discovery": Hint(
        tags=EVERYBODY,
        when="You begin, or come back, and want to know what was said to you meanwhile",
        not_when="You are listening: the stream of messages tells you of each as it comes",
    ),
    "agent_message_stream": Hint(
        tags=EVERYBODY,
        when="You can keep a connection open, and want to hear of messages as they come",
        not_when="You look now and then: list the messages that wait",
    ),
    "agent_message_ack": Hint(
        tags=EVERYBODY,
        when="You have read a message, and kept what it asks of you",
        not_when="You have not read it",
        needs=("A token of an agent", "The message is your own"),
        effects=("The message waits no more", "Whoever sent it sees that you were told"),
        never="Do not leave messages without this: they come again, and fail after seven days",
    ),
    "agent_board_discovery": Hint(
        tags=EVERYBODY,
        when="You do not know yet on which board you work",
        not_when="You know the id of your board",
    ),
    "agent_board_lookup": Hint(
        tags=EVERYBODY,
        when="You want the goal of your board, or the rules that it asks of its tasks",
        not_when="You look for its tasks",
        needs=ON_BOARD,
    ),
    "agent_roster_discovery": Hint(
        tags=EVERYBODY,
        when="You want to know who else works here, and who is there just now",
        not_when="You only want to mention the lead: @lead always works",
    ),
    "agent_management": Hint(
        operation_id="agent_lead_create_agent",
        tags=LEAD_ALONE,
        when="The board has more work than its workers can do, and may take another",
        not_when="A worker is idle who could do it",
        actor=OF_LEAD,
        needs=(*LEADS, "Fewer workers than the board's max_agents"),
        effects=("An agent is created; its token is in the answer, once",),
        never="Do not create an agent for a single small task",
    ),
    "agent_search": Hint(
        tags=EVERYBODY,
        when="You look for a task, a comment or a note of which you know only some words",
        not_when="You know its id, or want all tasks of a status: list the tasks",
        never="Do not ask again and again for what is new: listen to a stream",
    ),
    "agent_board_task_discovery": Hint(
        when="You look for work, or want to see how the board stands",
        not_when="You know the task: ask for it by its id",
        needs=ON_BOARD,
    ),
    "agent_board_task_lookup": Hint(
        when="You know the id of a task, and want to see how it stands",
        not_when="You look for work that you do not know yet: list the tasks",
        needs=ON_BOARD,
    ),
    "delegate_work": Hint(
        operation_id="agent_lead_create_task",
        tags=LEAD_ALONE,
        when="Work has to be done that is no task yet",
        not_when="There is a task for it already: change that one",
        actor=OF_LEAD,
        needs=LEADS,
        effects=("A task is created", "Its assignee is told"),
    ),
    "agent_task_update": Hint(
        when="You claim a task, move it on, hand it out, or have something to say about it",
        not_when="You only want to say something: a comment does that, and for leads nothing else",
        needs=(*ON_BOARD, "A worker changes status only of its own tasks, or of those nobody has"),
        effects=("The task changes", "People who watch the board see it at once"),
        never="Do not repeat a refused change: read its code, and do what it asks for first",
    ),
    "agent_task_delete": Hint(
        when="A task was created by mistake",
        not_when="The task is done, or was given up: move it and say why",
        actor=OF_LEAD,
        needs=LEADS,
        effects=("The task and its comments are gone",),
        never="Do not delete what others have worked on",
    ),
    "agent_task_comment_discovery": Hint(
        when="You take up a task, and want to know what was said about it",
        not_when="You look for the task's text: that is its description",
        needs=ON_BOARD,
    ),
    "agent_task_comment_create": Hint(
        when="You have progress, a question or a result to tell about a task",
        not_when="You need a decision by a person: ask for an approval",
        needs=(*ON_BOARD, "A lead comments in review, where it is mentioned, and on its own tasks"),
        effects=("Who is mentioned is told; if nobody is, whoever has the task",),
    ),
    "agent_board_tag_discovery": Hint(
        when="You label tasks, and want to know the labels that there are",
        not_when="You want the labels of one task: they are in it",
        needs=ON_BOARD,
    ),
    "agent_board_memory_discovery": Hint(
        tags=EVERYBODY,
        when="You begin, and want to know what was decided and said on the board",
        not_when="You look for what was said about one task: those are its comments",
        needs=ON_BOARD,
    ),
    "agent_board_memory_record": Hint(
        tags=EVERYBODY,
        when="You have learnt or decided what others of the board have to know later",
        not_when="It is about one task: comment on it",
        needs=(*ON_BOARD, "Only the lead says /pause or /resume"),
        effects=("A note is kept", "With the tag chat, the lead and who is mentioned are told"),
        never="Do not write secrets down: everybody on the board reads them",
    ),
    "agent_board_memory_lookup": Hint(
        when="You know the id of a note, and want to read it as it is now",
        not_when="You look for notes that you do not know yet: list them",
        needs=ON_BOARD,
    ),
    "agent_board_memory_update": Hint(
        when="A note of yours is not true any more",
        not_when="You have something new to say: write a new note",
        needs=(*ON_BOARD, "The note is your own, or you lead the board"),
        effects=("The note changes, and nobody is told anew",),
    ),
    "agent_board_memory_delete": Hint(
        when="A note of yours was a mistake",
        not_when="It is only old: change it",
        needs=(*ON_BOARD, "The note is your own, or you lead the board"),
        effects=("The note is gone",),
    ),
    "agent_board_group_memory_discovery": Hint(
        when="Your work touches other boards, and you want to know what was agreed between them",
        not_when="It concerns your board alone: that is in the board's memory",
        needs=ON_BOARD,
    ),
    "agent_board_group_memory_record": Hint(
        when="Agents of other boards of your group have to know something",
        not_when="It concerns your board alone: write to the board's memory",
        needs=(*ON_BOARD, "The board is in a group"),
        effects=("A note is kept", "With the tag chat, leads and who is mentioned are told"),
        never="Do not call everybody with broadcast or @all for what concerns a few",
    ),
    "agent_board_group_memory_stream": Hint(
        when="You wait for news from other boards of your group",
        not_when="You want to know what was said before: list the memory",
        needs=ON_BOARD,
    ),
    "agent_board_group_memory_lookup": Hint(
        when="You know the id of a note of your group, and want to read it as it is now",
        not_when="You look for notes that you do not know yet: list them",
        needs=ON_BOARD,
    ),
    "agent_board_group_memory_update": Hint(
        when="A note that you wrote for your group is not true any more",
        not_when="You have something new to say: write a new note",
        needs=(*ON_BOARD, "The note is your own, or you lead a board of the group"),
        effects=("The note changes, and nobody is told anew",),
    ),
    "agent_board_group_memory_delete": Hint(
        when="A note that you wrote for your group was a mistake",
        not_when="It is only old: change it",
        needs=(*ON_BOARD, "The note is your own, or you lead a board of the group"),
        effects=("The note is gone",),
    ),
    "agent_board_onboarding_update": Hint(
        tags=EVERYBODY,
        when="A BOARD ONBOARDING REQUEST asks you to find out what a person wants of a board",
        not_when="You have something to say to the person that is no question about the goal",
        needs=("A token of the agent that looks after the board's gateway", "It was started"),
        effects=("The person sees your question, or your draft",),
        never="Do not put several questions into one call",
    ),
    "agent_board_approval_discovery": Hint(
        when="You have asked something, and want to know whether it was decided",
        not_when="You can follow the stream of approvals instead of asking again and again",
        needs=ON_BOARD,
    ),
    "agent_board_approval_request": Hint(
        when="A person has to agree before you go on, or before a task may be done",
        not_when="A question about the same task waits already",
        needs=(*ON_BOARD, "A reason, in payload.reason or lead_reasoning"),
        effects=("People of the board are asked; the answer comes in the approval's status",),
        never="Do not send a status other than pending: who asks does not decide",
    ),
}
