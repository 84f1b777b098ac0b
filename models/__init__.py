"""The tables, and the rules that a row can keep by itself. No queries, no HTTP, no clock."""

from typing import TypeAlias

from models.agent import Agent, AgentStatus, AgentToken
from models.approval import Approval, ApprovalStatus, ApprovalTask
from models.base import Base, new_id
from models.board import Board, BoardGroup, Note
from models.event import Event, EventType
from models.organization import BoardAccess, Member, Organization, Role
from models.tag import Tag, TagAssignment
from models.task import Comment, Priority, Status, Task, TaskDependency, Trash
from models.user import ApiToken, FirstRunLink, SignIn, User

Actor: TypeAlias = User | Agent
"""Whoever does things: a person, by pages or scripts, or an agent, by the API."""

__all__ = [
    "Actor",
    "Agent",
    "AgentStatus",
    "AgentToken",
    "ApiToken",
    "Approval",
    "ApprovalStatus",
    "ApprovalTask",
    "Base",
    "Board",
    "BoardAccess",
    "BoardGroup",
    "Comment",
    "Event",
    "EventType",
    "FirstRunLink",
    "Member",
    "Note",
    "Organization",
    "Priority",
    "Role",
    "SignIn",
    "Status",
    "Tag",
    "TagAssignment",
    "Task",
    "TaskDependency",
    "Trash",
    "User",
    "new_id",
]
