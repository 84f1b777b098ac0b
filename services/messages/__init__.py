"""Messages to agents: an outbox that agents empty themselves, or a worker delivers to a gateway.

Other domains call `enqueue_messages`; `templates` renders the texts.
"""

from services.messages import templates
from services.messages.circuit_breakers import (
    IS_HELD_BY_BREAKER,
    HoldCause,
    build_pause,
    hold_failing_agents,
    is_pause,
    release_messages,
)
from services.messages.commands import (
    DELIVERY_TIMEOUT,
    EXPIRY_BATCH_SIZE,
    BoardLeadRecipient,
    OutgoingMessage,
    acknowledge_message,
    acknowledge_messages,
    enqueue_messages,
    expire_undelivered,
    fail_undelivered,
    retry_message,
)
from services.messages.gateway_delivery import create_delivery_job
from services.messages.gateway_turns import parse_message_id
from services.messages.mentions import (
    ALL_MENTION,
    LEAD_MENTION,
    MentionedPeople,
    extract_mentions,
    find_mention,
    find_person_mention,
    is_mentioned,
    list_mentionable_people,
    list_mentioned_agents,
    mention_names,
)
from services.messages.missing_actions import (
    NO_ACTION_AFTER,
    TASK_MESSAGES_WITHOUT_ACTION,
    list_task_messages_without_action,
    list_without_action,
)
from services.messages.queries import (
    PENDING_STATES,
    count_newer_messages,
    list_agent_messages,
    list_inbox,
    load_messages,
)
from services.messages.rules import BOARD_COMMANDS, is_reachable
