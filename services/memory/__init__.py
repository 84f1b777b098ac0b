"""Memory: the notes and the chat of boards and of board groups."""

from services.memory.commands import (
    USER_REPLY_SOURCE,
    USER_REPLY_TAG,
    GroupNoteCreate,
    NoteCreate,
    NoteUpdate,
    create_note,
    delete_note,
    post_external_note,
    record_user_question,
    set_board_paused,
    update_note,
)
from services.memory.queries import (
    NoteDetail,
    count_newer_notes,
    get_note,
    latest_chat_query,
    list_notes,
    load_notes,
    lock_note,
)
from services.memory.rules import (
    BOARD_MEMORY,
    BROADCAST_TAG,
    CHAT_TAG,
    GROUP_MEMORY,
    MemoryKind,
    MemoryScope,
    board_group_scope,
    board_scope,
    group_scope,
)
