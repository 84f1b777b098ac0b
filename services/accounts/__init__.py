"""Accounts: how somebody comes in who was invited or cannot sign in, and how somebody leaves."""

from services.accounts.closing import close
from services.accounts.joining import join
from services.accounts.password_links import choose_password, password_link, who_has_link

__all__ = ["choose_password", "close", "join", "password_link", "who_has_link"]
