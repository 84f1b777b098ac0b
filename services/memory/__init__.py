"""Memory: the notes and the chat of boards and of board groups."""

from services.memory.commands import (
    create_note,
    delete_note,
    post_external_note,
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
    MAX_TAG_LENGTH,
    MAX_TAGS,
    MemoryKind,
    MemoryScope,
    NoteDraft,
    board_group_scope,
    board_scope,
    group_scope,
)
from services.memory.user_replies import (
    USER_REPLY_SOURCE,
    USER_REPLY_TAG,
    record_user_question,
)
