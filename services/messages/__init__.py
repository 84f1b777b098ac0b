"""Messages to agents: an outbox, which agents empty by themselves or a carrier empties for them."""

from services.messages.outbox import Draft, queue

__all__ = ["Draft", "queue"]
