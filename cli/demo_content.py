"""The content of the demo: what boards, agents and tasks of a fictional company are made of."""

from dataclasses import dataclass

ORGANIZATION = "Tern & Co (demo)"
GROUP = "Version 2.4"
TAGS = {
    "release": "0f766e",
    "docs": "b45309",
    "security": "b91c1c",
    "customers": "6d28d9",
    "performance": "1d4ed8",
}
"""Colours of tags by name."""


@dataclass(frozen=True)
class DemoTask:
    """A task of the demo, and the comments and approval of the agent that works on it."""

    title: str
    description: str
    priority: str = "medium"
    due_in_days: int | None = None
    depends_on: str | None = None  # the title of another task
    tags: tuple[str, ...] = ()
    status: str = "inbox"  # when the demo is created
    worker: str | None = None  # who has it then
    comments: tuple[str, ...] = ()  # one for each step of the work
    approval_title: str = ""
    approval_reason: str = ""
    confidence: int = 90
    diff: str = ""  # what an approval will change
    scores: tuple[tuple[str, int], ...] = ()  # of an approval, by criterion


@dataclass(frozen=True)
class DemoAgent:
    """An agent of the demo; a script controls it if `is_scripted`."""

    name: str
    role: str
    emoji: str
    is_lead: bool = False
    is_scripted: bool = False
    chat: tuple[str, ...] = ()  # what it writes in the chat of its board, one after the other


@dataclass(frozen=True)
class DemoBoard:
    """A board of the demo."""

    name: str
    description: str
    objective: str
    approval_for_done: bool
    agents: tuple[DemoAgent, ...]
    tasks: tuple[DemoTask, ...]
    later_tasks: tuple[DemoTask, ...] = ()  # added by the lead one after the other
    done_titles: tuple[str, ...] = ()  # tasks that are done from the beginning
    notes: tuple[str, ...] = ()  # what the agents have learnt
    is_in_group: bool = False
