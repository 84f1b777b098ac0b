"""Approvals: requests of agents and users for a human decision."""

from services.approvals.contents import (
    CurrentContent,
    CurrentContents,
    hash_current_action,
    load_current_contents,
)
from services.approvals.decisions import (
    MAX_DECISIONS,
    DecisionResult,
    UndoneNote,
    choose_note_to_store,
    decide_immediately,
    decide_many_with_undo,
    decide_with_undo,
    find_undone_note,
    undo_decision,
)
from services.approvals.details import (
    ApprovalDetail,
    LinkedTask,
    already_decided,
    get_approval,
    lock_board_of_approval,
)
from services.approvals.direct_completions import approve_and_complete, propose_completions
from services.approvals.finalization import (
    allow_by_policy,
    finalize_due_approvals,
    find_next_finalization,
    list_boards_with_due_approvals,
    list_undecided_calls,
)
from services.approvals.queries import (
    OPEN_APPROVALS,
    PENDING_COUNT,
    ApprovalCounts,
    UndecidedApproval,
    build_decided_count_query,
    build_decided_since_query,
    build_listed_query,
    count_approvable,
    count_approvals,
    get_member_approval,
    has_own_first_approvals,
    list_board_approvals,
    list_decided_approvals,
    list_member_approvals,
    list_undecided_approvals,
    list_undecided_of_board,
    list_undoable_decisions,
    load_approvals,
    newest_approvals_query,
    select_approvable_counts,
    undecided_rows_query,
)
from services.approvals.reminders import (
    has_due_reminders,
    has_outdated_first_approvals,
    remind_of_approvals,
    reopen_outdated_first_approvals,
)
from services.approvals.requests import (
    LIMITED_AGENTS,
    MAX_PENDING,
    PERIOD,
    LimitedAgent,
    request_approval,
    request_clarification,
    request_tool_approval,
)
from services.approvals.rules import (
    EDITED_INPUT,
    MAX_SCORES,
    TASK_KEYS,
    TASK_LIST_KEYS,
    TITLE_KEYS,
    TOOL_CALL_RETENTION,
    ApprovalCreate,
    Note,
    format_question,
    split_kind,
)
from services.approvals.votes import has_approved_first, list_allowed_decisions, may_approve
