"""Tasks: what can be done with them. The rest of this package is nobody else's business."""

from services.tasks.changes import change, create
from services.tasks.choices import assignable, dependency_choices
from services.tasks.columns import BoardFilters, Column, columns
from services.tasks.comments import CommentDetail, comment, comments, remark
from services.tasks.details import TagRef, TaskDetail, TaskRef, detail
from services.tasks.history import FieldChange, HistoryEntry, history
from services.tasks.lists import listed, newest
from services.tasks.news import News, happened
from services.tasks.setbacks import release
from services.tasks.several import comments_of, details_of
from services.tasks.trash import delete, purge_trash, restore
from services.tasks.values import TaskDraft

__all__ = [
    "BoardFilters",
    "Column",
    "CommentDetail",
    "FieldChange",
    "HistoryEntry",
    "News",
    "TagRef",
    "TaskDetail",
    "TaskDraft",
    "TaskRef",
    "assignable",
    "change",
    "columns",
    "comment",
    "comments",
    "comments_of",
    "create",
    "delete",
    "dependency_choices",
    "detail",
    "details_of",
    "happened",
    "history",
    "listed",
    "newest",
    "purge_trash",
    "release",
    "remark",
    "restore",
]
