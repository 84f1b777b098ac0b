"""The texts of messages to agents: a marker in the first line, then labels, then instructions.

Each function returns the content of one message. Names and titles are single-line values of labels;
all other texts of users and agents are put between fences. `base_url` is the address of the
API for agents, used in instructions for replies.
"""

from services.messages.templates.renderers import (
    INSTRUCTIONS,
    render_answer,
    render_approval_decision,
    render_board_chat,
    render_board_update,
    render_comment,
    render_group_chat,
    render_group_update,
    render_lead_message,
    render_nudge,
    render_task,
    render_user_request,
)
from services.messages.templates.skill_texts import (
    SkillText,
    render_skill_install,
    render_skill_uninstall,
)
from services.messages.templates.text_format import (
    PAUSE_COMMAND,
    RESUME_COMMAND,
    WAKE_UP_KIND,
    MessageMarker,
    fence_text,
    format_labels,
    to_single_line,
)
from services.messages.templates.webhook_texts import (
    WebhookText,
    render_webhook_event,
    render_webhook_events,
    render_webhook_note,
)
