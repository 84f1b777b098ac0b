"""When an agent asks for boards, tasks, approvals and agents."""

from collections.abc import Mapping

from api.hints.hint import EVERYBODY, LEAD_ALONE, LEADS, OF_LEAD, ON_BOARD, Hint

HINTS: Mapping[str, Hint] = {
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
    "agent_lifecycle": Hint(
        tags=LEAD_ALONE,
        actor=OF_LEAD,
        when="A worker of your board is not needed any more",
        not_when="It is only idle: assign it a task",
        needs=LEADS,
        effects=("The agent is gone, and its tasks are in the inbox",),
        operation_id="agent_lead_delete_board_agent",
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
