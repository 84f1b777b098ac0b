"""What an agent may do, and what its board asks of tasks: the one place where this is in words.

The files that agents get say it, and the pages on which a person decides about a lead.
"""

from collections.abc import Mapping, Set

from services.agent_files.facts import Role

LEAD = (
    "Creates tasks on this board, hands them to its workers, orders and deletes them.",
    "Accepts what is in review, or sends it back.",
    "Asks people for approvals; it never decides one.",
    "Writes to the board's chat and memory, and to its group's.",
    "Writes to its workers, and says what they are like.",
    "Has a person asked, by the gateway's agent or in the board's chat.",
    "Pauses and resumes the agents of this board.",
)
NO_WORKERS = "Adds no workers: the board allows none."
WORKERS = "Adds workers to this board, {most} at most at any time, and lets them go."
LEAD_NEVER = (
    "Does no worker's task itself, and moves tasks only out of review or into work.",
    "Changes neither the board's goal nor its rules, and sees no other board's tasks beyond its"
    " group's summary.",
)
WORKER = (
    "Claims tasks of this board that nobody has, and moves its own on.",
    "Comments on every task of this board.",
    "Asks people for approvals; it never decides one.",
    "Writes to the board's chat and memory, and to its group's.",
)
WORKER_MOVES_NOTHING = (
    "Moves no task: on this board only the lead and people do.",
    *WORKER[1:],
)
WORKER_NEVER = ("Creates, deletes and hands out no tasks, and moves none that another has.",)
MAIN = (
    "Reads the boards that this gateway serves, and the agents on them.",
    "Writes to the leads of these boards, one by one or to all.",
    "Asks people what leads want to know, and brings their answers back.",
    "Asks the questions of a new board's onboarding, and sends the draft of its goal.",
    "Reads and writes the memory of these boards.",
)
MAIN_NEVER = ("Claims no task and moves none, and creates no board.",)

ON: Mapping[str, str] = {
    "require_approval_for_done": "A task is done only once a person has approved it.",
    "require_review_before_done": "A task goes through review before it is done.",
    "comment_required_for_review": "A task comes to review with a comment about what was done.",
    "block_status_changes_with_pending_approval": "While an approval waits for a task, the task"
    " stays where it is.",
    "only_lead_can_change_status": "Among agents only the lead moves tasks.",
}
OFF: Mapping[str, str] = {
    "require_approval_for_done": "A task may be done without a person's approval.",
}


def may(role: Role, rules: Set[str] = frozenset(), *, max_agents: int = 0) -> list[str]:
    """Return what an agent may do, one sentence each."""
    if role is Role.MAIN:
        return list(MAIN)
    if role is Role.WORKER:
        return list(WORKER_MOVES_NOTHING if "only_lead_can_change_status" in rules else WORKER)
    return [*LEAD, WORKERS.format(most=max_agents) if max_agents else NO_WORKERS]


def may_not(role: Role) -> list[str]:
    """Return what an agent may not do, one sentence each."""
    return list({Role.MAIN: MAIN_NEVER, Role.LEAD: LEAD_NEVER, Role.WORKER: WORKER_NEVER}[role])


def asked(rules: Set[str]) -> list[str]:
    """Return what a board asks of its tasks, one sentence each, and what it lets pass."""
    on = [text for name, text in ON.items() if name in rules]
    return on + [text for name, text in OFF.items() if name not in rules]
