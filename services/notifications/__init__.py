"""Notifications of users: what concerns them, and how it reaches them outside the pages."""

from services.notifications.commands import (
    OpenedPage,
    delete_old_notifications,
    has_unread_about,
    mark_all_read,
    mark_page_read,
    mark_read,
)
from services.notifications.creation import (
    DELIVERY_TOPIC,
    Audience,
    NewNotification,
    NotificationChanges,
    NotificationStreams,
    cut_excerpt,
    notify,
)
from services.notifications.deliveries import (
    DueDelivery,
    DueNotification,
    RunningMessages,
    SendOutcome,
    SendReason,
    SendResult,
    claim_due,
    config_context,
    find_next_due_time,
    record_channel_state,
    record_result,
)
from services.notifications.delivery_plans import BATCH_SIZE, plan_deliveries
from services.notifications.derivation import (
    DECISION_KINDS,
    find_deciders,
    notify_about_events,
)
from services.notifications.escalations import escalate
from services.notifications.preferences import (
    IS_OTHER_DECIDER,
    MAX_ESCALATION_MINUTES,
    NotificationChoiceUpdate,
    NotificationPreferencesUpdate,
    Preferences,
    list_deciders,
    load_preferences,
    lock_preferences,
    update_preferences,
)
from services.notifications.queries import (
    NotificationEntry,
    NotificationFilters,
    count_unread,
    get_notification,
    list_notifications,
    unread_count_query,
)
from services.notifications.resolution import reopen, resolve, resolve_chat_questions
from services.notifications.rules import (
    CONFIGURABLE_KINDS,
    KINDS_BY_GROUP,
    KINDS_WITHOUT_BOARD,
    URGENT_KINDS,
    Choice,
    KindGroup,
    is_enabled,
    is_enabled_by_default,
)
