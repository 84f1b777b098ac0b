"""Tool calls of coding agents: their clients ask here before they call a tool."""

from services.tool_calls.clients import (
    build_answer,
    find_event_name,
    is_asking,
    is_disconnection,
    read_session_event,
    read_tool_request,
)
from services.tool_calls.decisions import (
    allow_undecided_calls,
    approve_always,
    approve_for,
    approve_with_edit,
    build_allow_rule,
)
from services.tool_calls.gate import (
    STILL_WAITING,
    HeldCall,
    PreparedCall,
    ToolReply,
    abandon_calls,
    answer_held_calls,
    ask,
    prepare_call,
    record_session_event,
)
from services.tool_calls.grants import (
    GrantScope,
    end_grant,
    list_grants,
    list_newest_grants,
)
from services.tool_calls.queries import (
    CallDetail,
    CallExcerpt,
    RequestedCall,
    WaitState,
    find_call_of_approval,
    list_calls,
    list_excerpts,
    list_waiting,
)
from services.tool_calls.retention import delete_old_calls
