"""The first lines of messages, by which agents tell them apart (contract, agents 22)."""

from enum import StrEnum

WAKE_UP = "WAKE UP"
"""The kind of the first message to an agent on a gateway. It has no marker: it is read by nobody
who knows any yet."""


class Marker(StrEnum):
    """What a message is about. The values are part of what gateways and agents know."""

    NEW_TASK_ADDED = "NEW TASK ADDED"
    TASK_BACK_IN_INBOX = "TASK BACK IN INBOX"
    TASK_ASSIGNED = "TASK ASSIGNED"
    TASK_READY_FOR_LEAD_REVIEW = "TASK READY FOR LEAD REVIEW"
    CHANGES_REQUESTED = "CHANGES REQUESTED"
    TASK_MENTION = "TASK MENTION"
    NEW_TASK_COMMENT = "NEW TASK COMMENT"
    APPROVAL_RESOLVED = "APPROVAL RESOLVED"
    BOARD_UPDATED = "BOARD UPDATED"
    BOARD_GROUP_UPDATED = "BOARD GROUP UPDATED"
    BOARD_CHAT = "BOARD CHAT"
    BOARD_CHAT_MENTION = "BOARD CHAT MENTION"
    GROUP_CHAT = "GROUP CHAT"
    GROUP_CHAT_MENTION = "GROUP CHAT MENTION"
    GROUP_BROADCAST = "GROUP BROADCAST"
    ASK_USER = "LEAD REQUEST: ASK USER"
    GATEWAY_MAIN_QUESTION = "GATEWAY MAIN QUESTION"
    GATEWAY_MAIN_HANDOFF = "GATEWAY MAIN HANDOFF"
