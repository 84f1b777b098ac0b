"""When an attempt of an outbox is repeated, and when its result counts."""

from datetime import timedelta

from core.clock import now
from models import WebhookDelivery
from services.outbox import Outbox, is_outdated

SECOND = timedelta(seconds=1)


def make_outbox(jitter: float = 0.0) -> Outbox[WebhookDelivery]:
    return Outbox(
        WebhookDelivery,
        claim_duration=60 * SECOND,
        retry_delays=[5 * SECOND, 60 * SECOND],
        jitter=jitter,
    )


def test_a_claim_counts_an_attempt_that_is_due_again_at_its_end() -> None:
    delivery, at = WebhookDelivery(attempts=2), now()
    make_outbox().claim(delivery, at)
    assert (delivery.attempts, delivery.next_attempt_at) == (3, at + 60 * SECOND)


def test_there_is_one_attempt_more_than_delays() -> None:
    outbox, at = make_outbox(), now()
    found = [outbox.find_retry(failures, at) for failures in (1, 2, 3)]
    assert found == [at + 5 * SECOND, at + 60 * SECOND, None]


def test_a_receiver_can_only_lengthen_a_delay() -> None:
    outbox, at = make_outbox(), now()
    assert outbox.find_retry(1, at, 30 * SECOND) == at + 30 * SECOND
    assert outbox.find_retry(1, at, SECOND) == at + 5 * SECOND
    assert outbox.find_retry(3, at, 30 * SECOND) is None


def test_delays_vary_in_both_directions() -> None:
    outbox, at = make_outbox(jitter=0.5), now()
    delays = {(outbox.find_retry(2, at) or at) - at for _ in range(100)}
    assert len(delays) > 90
    assert 30 * SECOND <= min(delays) < 60 * SECOND < max(delays) <= 90 * SECOND


def test_only_a_success_counts_after_a_later_attempt() -> None:
    delivery = WebhookDelivery(attempts=2)
    assert not is_outdated(delivery, 2, is_success=False)
    assert is_outdated(delivery, 1, is_success=False)
    assert not is_outdated(delivery, 1, is_success=True)
