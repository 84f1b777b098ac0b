"""Texts about agents: what they may do, what a board requires, and how they should work.

Agents' files contain them. Pages have their own texts for what a lead may do.
"""

from collections.abc import Mapping, Set

from services.gateways.files.facts import AgentRole
from services.gateways.files.sanitizer import to_line

LEAD_MAY = {
    "manage_tasks": "Creates tasks on this board, hands them to its workers, orders and deletes"
    " them.",
    "accept_reviews": "Accepts what is in review, or sends it back.",
    "request_approvals": "Asks people for approvals; it never decides one.",
    "write_notes": "Writes to the board's chat and memory, and to its group's.",
    "instruct_workers": "Writes to its workers, and says what they are like.",
    "ask_people": "Has a person asked, by the gateway's agent or in the board's chat.",
    "pause_agents": "Pauses and resumes the agents of this board.",
}
NO_WORKERS = "Adds no workers: the board allows none."
WORKERS = "Adds workers to this board, {most} at most at any time, and lets them go."
LEAD_MAY_NOT = {
    "work_on_tasks": "Does no worker's task itself, and moves tasks only out of review or into"
    " work.",
    "change_board": "Changes neither the board's goal nor its rules, and sees no other board's"
    " tasks beyond its group's summary.",
}
WORKER_MAY = (
    "Claims tasks of this board that nobody has, and moves its own on.",
    "Comments on every task of this board.",
    "Asks people for approvals; it never decides one.",
    "Writes to the board's chat and memory, and to its group's.",
)
RESTRICTED_WORKER_MAY = (
    "Moves no task: on this board only the lead and people do.",
    *WORKER_MAY[1:],
)
WORKER_MAY_NOT = ("Creates, deletes and hands out no tasks, and moves none that another has.",)
MAIN_MAY = (
    "Reads the boards that this gateway serves, and the agents on them.",
    "Writes to the leads of these boards, one by one or to all.",
    "Asks people what leads want to know, and brings their answers back.",
    "Asks the questions of a new board's onboarding, and sends the draft of its goal.",
    "Reads and writes the memory of these boards.",
)
MAIN_MAY_NOT = ("Claims no task and moves none, and creates no board.",)

ENABLED_RULES: Mapping[str, str] = {
    "require_approval_for_done": "A task is done only once a person has approved it.",
    "require_review_before_done": "A task goes through review before it is done.",
    "comment_required_for_review": "A task comes to review with a comment about what was done.",
    "block_status_changes_with_pending_approval": "While an approval waits for a task, the task"
    " stays where it is.",
    "only_lead_can_change_status": "Among agents only the lead moves tasks.",
}
DISABLED_RULES: Mapping[str, str] = {
    "require_approval_for_done": "A task may be done without a person's approval.",
}


def list_permissions(
    role: AgentRole, rules: Set[str] = frozenset(), *, max_agents: int = 0
) -> list[str]:
    """Return the permissions of an agent, one sentence each."""
    if role is AgentRole.MAIN:
        return list(MAIN_MAY)
    if role is AgentRole.WORKER:
        return list(RESTRICTED_WORKER_MAY if "only_lead_can_change_status" in rules else WORKER_MAY)
    return [*LEAD_MAY.values(), WORKERS.format(most=max_agents) if max_agents else NO_WORKERS]


def list_prohibitions(role: AgentRole) -> list[str]:
    """Return the prohibitions of an agent, one sentence each."""
    return list(
        {
            AgentRole.MAIN: MAIN_MAY_NOT,
            AgentRole.LEAD: LEAD_MAY_NOT.values(),
            AgentRole.WORKER: WORKER_MAY_NOT,
        }[role]
    )


def list_board_requirements(rules: Set[str]) -> list[str]:
    """Return a board's requirements for its tasks, and what it does not require."""
    on = [text for name, text in ENABLED_RULES.items() if name in rules]
    return on + [text for name, text in DISABLED_RULES.items() if name not in rules]


MAX_PREFERENCE_LENGTH = 300  # characters

AUTONOMY = {
    "ask_first": "Ask before each step that changes anything beyond a task's comments.",
    "balanced": "Decide what is small and can be undone; ask before all else.",
    "autonomous": "Decide by yourself within the board's rules; ask only where they want it, or"
    " before what leaves the system or cannot be undone.",
}
VERBOSITY = {
    "concise": "Say what matters in a few sentences.",
    "balanced": "Say what matters, and the reasons that somebody may ask for.",
    "detailed": "Give the reasons, the alternatives and the evidence.",
}
OUTPUT_FORMAT = {
    "bullets": "Write lists of short points.",
    "mixed": "Write short paragraphs, and lists where they help.",
    "narrative": "Write connected paragraphs.",
}
UPDATE_CADENCE = {
    "asap": "Report as soon as something changes.",
    "hourly": "Report once an hour while you work.",
    "daily": "Report once a day.",
    "weekly": "Report once a week.",
}
PREFERENCES: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "autonomy_level": ("Autonomy", AUTONOMY, "balanced"),
    "verbosity": ("Verbosity", VERBOSITY, "concise"),
    "output_format": ("Output format", OUTPUT_FORMAT, "mixed"),
    "update_cadence": ("Update cadence", UPDATE_CADENCE, "asap"),
}
"""Each preference: its name, the meanings of its values, and its default."""


def describe_preferences(own: Mapping[str, str], board: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return name and sentence of each preference: the agent's own, or else its lead's.

    Values that the onboarding does not offer are quoted.
    """
    return [
        (name, _preference_sentence(own.get(key) or board.get(key) or usual, meanings))
        for key, (name, meanings, usual) in PREFERENCES.items()
    ]


def _preference_sentence(chosen: str, meanings: Mapping[str, str]) -> str:
    word = to_line(chosen, MAX_PREFERENCE_LENGTH)
    meaning = meanings.get(word.lower().replace("-", "_").replace(" ", "_"))
    return f"{word}. {meaning}" if meaning else word
