"""Identity: users, their accounts, and authentication by password, session, token or provider."""

from services.identity.accounts import (
    ProfileUpdate,
    UserUpdate,
    delete_account,
    list_membership_summaries,
    overwrite_profile,
    save_first_time_zone,
    update_profile,
)
from services.identity.external_accounts import (
    ACCOUNT_NOT_CONNECTED,
    AuthorizationRequest,
    ProviderProfile,
    connect_pending_identities,
    consume_authorization_request,
    get_or_create_external_user,
    must_authenticate_again,
    parse_profile,
    save_authorization_request,
    save_identity_for_password,
)
from services.identity.passwords import (
    MIN_PASSWORD_LENGTH,
    VerifiedPassword,
    change_password,
    create_password_link,
    find_stored_password,
    get_password_link_user,
    get_stored_password,
    hash_new_password,
    reset_password,
    sign_in,
    verify_credentials,
    verify_current_password,
)
from services.identity.registration import (
    AccountCreate,
    FirstOwnerCreate,
    complete_first_run,
    create_first_run_link,
    is_first_run_open,
    lock_registration,
    register_with_invite,
)
from services.identity.sessions import (
    Viewer,
    delete_expired_credentials,
    end_member_sessions,
    end_other_sessions,
    end_session,
    find_session,
    is_session_active,
    list_sessions,
    renew_session,
    sign_out,
    start_session,
)
from services.identity.tokens import (
    TOKEN_LIFETIMES,
    ApiTokenCreate,
    authenticate_agent,
    authenticate_user,
    create_api_token,
    end_agent_tokens,
    list_api_tokens,
    list_imported_hashes,
    revoke_api_token,
    revoke_chosen_api_tokens,
)
from services.identity.verification import (
    CredentialVerifier,
    SignInSource,
    delete_old_failed_attempts,
)
