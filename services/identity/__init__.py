"""Identity: who is at the other end of a password, a cookie or a token."""

from services.identity.agent_tokens import agent_with_token
from services.identity.claims import Profile, profile_of
from services.identity.external import NOT_CONNECTED, external_user
from services.identity.first_run import (
    complete_first_run,
    first_run_link,
    first_run_open,
    reopening_first_run,
)
from services.identity.newcomers import new_account
from services.identity.passwords import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    Kept,
    Proven,
    change_password,
    check_credentials,
    check_current,
    hashed,
    kept_password,
    kept_password_of,
    set_password,
    sign_in,
    user_with_email,
)
from services.identity.pending import (
    Departure,
    come_back,
    connect_waiting,
    depart,
    wait_for_password,
)
from services.identity.sessions import (
    end_other_sessions,
    end_session,
    purge_sign_ins,
    sessions_of,
    sign_out,
    signed_in,
    start_session,
    still_signed_in,
)
from services.identity.tokens import (
    api_tokens,
    create_api_token,
    revoke_api_token,
    user_with_token,
)

__all__ = [
    "LONGEST_PASSWORD",
    "NOT_CONNECTED",
    "SHORTEST_PASSWORD",
    "Departure",
    "Kept",
    "Profile",
    "Proven",
    "agent_with_token",
    "api_tokens",
    "change_password",
    "check_credentials",
    "check_current",
    "come_back",
    "complete_first_run",
    "connect_waiting",
    "create_api_token",
    "depart",
    "end_other_sessions",
    "end_session",
    "external_user",
    "first_run_link",
    "first_run_open",
    "hashed",
    "kept_password",
    "kept_password_of",
    "new_account",
    "profile_of",
    "purge_sign_ins",
    "reopening_first_run",
    "revoke_api_token",
    "sessions_of",
    "set_password",
    "sign_in",
    "sign_out",
    "signed_in",
    "start_session",
    "still_signed_in",
    "user_with_email",
    "user_with_token",
    "wait_for_password",
]
