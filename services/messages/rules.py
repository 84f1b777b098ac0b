"""Rules of delivery: retries, status checks, and the state changes that follow from a result."""

from datetime import datetime, timedelta

from models import Agent, DesiredState, Message, MessageState, ProvisioningStep
from services import events
from services.messages.events import status_events
from services.messages.gateway_turns import UNKNOWN, TurnResult, TurnStatus
from services.messages.templates import PAUSE_COMMAND, RESUME_COMMAND, WAKE_UP_KIND
from services.outbox import Outbox

OUTBOX = Outbox(
    Message,
    claim_duration=timedelta(seconds=10),
    retry_delays=[
        timedelta(seconds=it) for it in (1, 2, 4, 8, 16, 32, *[60] * 23)
    ],  # about 25 minutes with a gateway that responds but accepts nothing
)
MAX_LOST_COUNT = 5  # times that a gateway may accept a message and then lose it
MAX_CHECK_INTERVAL = timedelta(minutes=10)  # between two status checks of a sent message

ACCEPTED = (TurnStatus.RUNNING, TurnStatus.ENDED)

BOARD_COMMANDS = (PAUSE_COMMAND, RESUME_COMMAND)
"""The messages that are delivered to the agents of a paused board."""

PRIORITY_KINDS = (WAKE_UP_KIND, *BOARD_COMMANDS)
"""The messages that are delivered before older ones."""

UNREACHABLE_STEPS = (ProvisioningStep.CREATE, ProvisioningStep.LISTED, ProvisioningStep.WAKE)
"""The provisioning steps before an agent has received its wake-up message."""


def is_reachable(agent: Agent) -> bool:
    """Return whether an agent of a gateway exists there and has received its wake-up message."""
    if agent.openclaw_session_id is None:
        return False
    if agent.is_linked:
        return agent.listed_at is not None
    is_provisioned = agent.observed_generation > 0 and agent.step not in UNREACHABLE_STEPS
    return agent.desired_state is DesiredState.RUNNING and is_provisioned


def apply_attempt(message: Message, result: TurnResult, at: datetime) -> list[events.NewEvent]:
    """Apply the result of sending a message."""
    if message.state is MessageState.SENT:
        return _apply_repeated_send(message, result, at)
    if message.state is not MessageState.QUEUED:
        return []
    if result.status in ACCEPTED:
        is_first = message.sent_at is None
        message.mark_sent(at, at + MAX_CHECK_INTERVAL)
        sent = status_events(message, is_first=is_first)
        is_ended = result.status is TurnStatus.ENDED
        return [*sent, *apply_status(message, result, at)] if is_ended else sent
    if result.status is TurnStatus.LOST:
        return _requeue_lost(message, result, at)
    if result.status is TurnStatus.FAILED:
        return _fail(message, result)
    retry_at = OUTBOX.find_retry(message.attempts, at)
    if retry_at is None or _is_rejected_too_often(message, result):
        return _fail(message, result)
    message.schedule_retry(retry_at, result.reason)
    return []


def apply_status(message: Message, result: TurnResult, at: datetime) -> list[events.NewEvent]:
    """Apply the status of a message's turn to a sent message."""
    if result.status in (TurnStatus.RUNNING, TurnStatus.UNKNOWN, TurnStatus.REJECTED):
        quarter = (at - (message.waiting_since or at)) / 4  # of the time since it was sent
        message.next_attempt_at = at + max(timedelta(seconds=5), min(quarter, MAX_CHECK_INTERVAL))
        return []
    if result.status is TurnStatus.ENDED:
        message.acknowledge(at)
        return status_events(message)
    if result.status is TurnStatus.FAILED:
        return _fail(message, result)
    return _requeue_lost(message, result, at)


def _apply_repeated_send(
    message: Message, result: TurnResult, at: datetime
) -> list[events.NewEvent]:
    """Apply the result of sending a message again that the gateway had accepted before.

    If the gateway starts a new turn, it had lost the message. The number of losses is limited.
    """
    if result.status is not TurnStatus.UNKNOWN:
        message.lost_count = message.lost_count + 1 if result.is_new else 0
    if message.lost_count >= MAX_LOST_COUNT:
        return _fail(message, UNKNOWN)
    if _is_rejected_too_often(message, result):
        return _fail(message, result)
    return apply_status(message, result, at)


def _requeue_lost(message: Message, result: TurnResult, at: datetime) -> list[events.NewEvent]:
    """Queue a lost message again, or fail it if it was lost too often."""
    message.requeue_lost(at, result.reason)
    if message.lost_count >= MAX_LOST_COUNT:
        return _fail(message, result)
    return status_events(message)


def _fail(message: Message, result: TurnResult) -> list[events.NewEvent]:
    """Mark a message as failed. A failed turn cannot restart, so a retry will start a new one."""
    if result.status in (TurnStatus.FAILED, TurnStatus.REJECTED):
        message.turn_number += 1
    message.fail(result.reason)
    return status_events(message)


def _is_rejected_too_often(message: Message, result: TurnResult) -> bool:
    """Return whether the gateway rejects the third attempt: some rejections are transient."""
    return result.status is TurnStatus.REJECTED and message.attempts >= 3
