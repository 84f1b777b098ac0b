"""Messages to agents: an outbox, which agents empty by themselves or a carrier empties for them."""

from services.messages.outbox import Draft, LeadOf, queue

__all__ = ["Draft", "LeadOf", "queue"]
