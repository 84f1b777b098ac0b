"""Onboarding: a conversation that turns a goal into a board with a lead."""

from services.onboarding.commands import (
    answer_question,
    ask_question,
    cancel_onboarding,
    correct_answer,
    remind_agent,
    restart_onboarding,
    start_onboarding,
    submit_draft,
)
from services.onboarding.confirmation import (
    ConfirmedBoard,
    ExpectedState,
    OnboardingGoal,
    OnboardingLead,
    OnboardingPreview,
    OnboardingProfile,
    confirm_goal,
    confirm_without_agent,
    preview_goal,
)
from services.onboarding.queries import (
    Conversation,
    Interviewer,
    PendingOnboarding,
    build_open_sessions_query,
    find_conversation,
    find_last_message,
    get_conversation,
    load_interviewer,
    select_pending,
    was_confirmed_by,
)
from services.onboarding.transcript import (
    ADDITIONAL_CONTEXT,
    MAX_OPTIONS,
    AnswerOption,
    Exchange,
    Transcript,
    is_free_text,
    normalize_output,
)
