"""Activity: what happened, for those who may know of it, in sentences."""

from services.activity.comments import CommentEntry, comment_feed, comments_of
from services.activity.entries import Entry, entries
from services.activity.feed import NOT_YET, ActivityFilters, for_agent, for_member
from services.activity.sentences import sentence

__all__ = [
    "NOT_YET",
    "ActivityFilters",
    "CommentEntry",
    "Entry",
    "comment_feed",
    "comments_of",
    "entries",
    "for_agent",
    "for_member",
    "sentence",
]
