"""Events: writing down what happened, and following it as it happens."""

from services.events.following import Feed
from services.events.recording import after, before, latest, record

__all__ = ["Feed", "after", "before", "latest", "record"]
