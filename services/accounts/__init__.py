"""Accounts: how somebody comes in who was invited, and how somebody leaves for good."""

from services.accounts.closing import close
from services.accounts.joining import join

__all__ = ["close", "join"]
