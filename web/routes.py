"""Routes of all pages, with their access checks and error handlers."""

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount, Route

from core.errors import AppError
from core.http.middleware import RequireCallerMiddleware
from web import live
from web.activity import views as activity_views
from web.agents import views as agent_views
from web.approvals import decision_views as decisions_views
from web.approvals import views as approval_views
from web.audit import views as audit_views
from web.auth import link_secrets, oidc, one_time_links, sign_in, sign_in_again, viewer
from web.auth.viewer import SameOriginMiddleware
from web.boards import settings_views as boards_settings_views
from web.boards import views as board_views
from web.causes import views as cause_views
from web.chat import views as chat_views
from web.gateways import agent_views as gateway_agent_views
from web.gateways import session_views
from web.gateways import views as gateway_views
from web.onboarding import views as onboarding_views
from web.organizations import views as organization_views
from web.organizations import welcome_views
from web.policies import views as policy_views
from web.settings import views as settings_views
from web.tasks import views as task_views
from web.ui import navigation
from web.ui.render import handle_app_error, handle_server_error, handle_unknown_address

__all__ = ["handle_server_error", "handle_unknown_address", "pages"]

ONBOARDING_PATH = "/boards/{board_id:uuid}/onboarding"
TASK_PATH = "/boards/{board_id:uuid}/tasks/{task_id:uuid}"

PUBLIC_ROUTES: list[Route] = [
    Route("/first-run", one_time_links.show_first_run, name="first_run"),
    Route("/first-run", one_time_links.complete_first_run, methods=["POST"]),
    Route("/sign-in", sign_in.show_sign_in, name="sign_in"),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    Route("/sign-in/oidc", oidc.start_sign_in, name="sign_in_elsewhere"),
    Route(oidc.CALLBACK_PATH, oidc.handle_callback),
    Route("/invite", one_time_links.show_invite, name="invite"),
    Route("/invite", one_time_links.accept_invite_with_new_account, methods=["POST"]),
    Route("/password", one_time_links.show_password_form, name="password"),
    Route("/password", one_time_links.set_password, methods=["POST"]),
    *[
        route
        for path in link_secrets.LINK_COOKIES
        for route in (
            Route(f"{path}/openings", link_secrets.open_link, methods=["POST"]),
            Route(f"{path}/openings", link_secrets.show_link_page),
        )
    ],
]

SIGNED_IN_ROUTES: list[Route] = [
    Route("/sign-out", sign_in.sign_out, methods=["POST"], name="sign_out"),
    Route(
        "/organizations/active",
        navigation.switch_organization,
        methods=["POST"],
        name="switch_organization",
    ),
    Route("/sign-in/again", sign_in_again.show_sign_in_again),
    Route("/sign-in/again", sign_in_again.sign_in_again, methods=["POST"]),
    Route("/invite/acceptances", one_time_links.accept_invite, methods=["POST"]),
    Route("/welcome", welcome_views.show_welcome, name="welcome"),
    Route("/welcome/organization", welcome_views.name_organization, methods=["POST"]),
    Route("/welcome/organization", welcome_views.show_welcome),
    Route("/welcome/board", welcome_views.create_first_board, methods=["POST"]),
    Route("/welcome/board", welcome_views.show_welcome),
    Route("/welcome/agent", welcome_views.create_first_agent, methods=["POST"]),
    Route("/welcome/agent", welcome_views.show_welcome),
    Route("/welcome/agents/{agent_id:uuid}", welcome_views.show_first_call),
]

MEMBER_ROUTES: list[Route] = [
    Route(viewer.EVENTS_PATH, live.stream_events, name="events"),
    Route("/boards", board_views.show_boards, name="boards"),
    Route("/boards", board_views.create_board, methods=["POST"], name="create_board"),
    Route("/boards/new", board_views.show_new_board_form, name="new_board"),
    Route(
        "/boards/{board_id:uuid}/settings",
        boards_settings_views.show_settings,
        name="board_settings",
    ),
    Route(
        "/boards/{board_id:uuid}/settings", boards_settings_views.save_settings, methods=["POST"]
    ),
    Route(
        "/boards/{board_id:uuid}/deletions", boards_settings_views.delete_board, methods=["POST"]
    ),
    Route("/boards/{board_id:uuid}/deletions", boards_settings_views.show_settings),
    *[
        Route(f"{ONBOARDING_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", onboarding_views.show_onboarding),
            ("", "POST", onboarding_views.start_onboarding),
            ("/answers", "GET", onboarding_views.show_onboarding),
            ("/answers", "POST", onboarding_views.answer_question),
            ("/corrections", "GET", onboarding_views.show_onboarding),
            ("/corrections", "POST", onboarding_views.correct_answer),
            ("/reminders", "POST", onboarding_views.remind_agent),
            ("/restarts", "POST", onboarding_views.restart_onboarding),
            ("/endings", "POST", onboarding_views.end_onboarding),
            ("/news", "GET", onboarding_views.show_updates),
            ("/review", "GET", onboarding_views.show_review),
            ("/review", "POST", onboarding_views.show_review),
            ("/additions", "GET", onboarding_views.show_review),
            ("/additions", "POST", onboarding_views.add_context),
            ("/confirmations", "GET", onboarding_views.show_review),
            ("/confirmations", "POST", onboarding_views.confirm_goal),
            ("/launch", "GET", onboarding_views.show_launch),
        ]
    ],
    Route("/agents", agent_views.show_agents, name="agents"),
    Route("/agents", agent_views.create_agent, methods=["POST"], name="create_agent"),
    Route("/agents/table", agent_views.show_agents_table),
    Route("/agents/new", agent_views.show_new_agent_form, name="new_agent"),
    Route("/agents/{agent_id:uuid}", agent_views.show_agent, name="agent"),
    Route("/agents/{agent_id:uuid}/edit", agent_views.show_edit_form),
    Route("/agents/{agent_id:uuid}/edit", agent_views.update_agent, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/calls", agent_views.show_first_call),
    Route("/agents/{agent_id:uuid}/runs", agent_views.show_agent_runs),
    Route("/agents/{agent_id:uuid}/tokens", agent_views.issue_token, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/tokens", agent_views.show_first_call),
    Route("/agents/{agent_id:uuid}/messages", agent_views.show_messages),
    Route(
        "/agents/{agent_id:uuid}/messages/{message_id:uuid}/why", cause_views.show_message_causes
    ),
    Route(
        "/agents/{agent_id:uuid}/messages/{message_id:uuid}/sendings",
        agent_views.retry_message,
        methods=["POST"],
    ),
    Route(
        "/agents/{agent_id:uuid}/provisionings", agent_views.retry_provisioning, methods=["POST"]
    ),
    Route("/agents/{agent_id:uuid}/releases", agent_views.release_agent, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/deletions", agent_views.delete_agent, methods=["POST"]),
    Route("/gateways", gateway_views.show_gateways, name="gateways"),
    Route("/gateways", gateway_views.create_gateway, methods=["POST"]),
    Route("/gateways/new", gateway_views.show_new_gateway_form),
    *[
        Route(f"/gateways/{{gateway_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", gateway_views.show_gateway),
            ("/edit", "GET", gateway_views.show_edit_form),
            ("/edit", "POST", gateway_views.update_gateway),
            ("/checks", "POST", gateway_views.check_gateway),
            ("/checks", "GET", gateway_views.show_gateway),
            ("/deletions", "POST", gateway_views.delete_gateway),
            ("/deletions", "GET", gateway_views.show_gateway),
            ("/agents", "GET", gateway_agent_views.show_gateway_agents),
            ("/agents", "POST", gateway_agent_views.link_agents),
            ("/agents/{agent_id:uuid}/endings", "POST", gateway_agent_views.unlink_agent),
            ("/sync", "GET", gateway_agent_views.show_file_sync),
            ("/sync", "POST", gateway_agent_views.start_file_sync),
            ("/sync/progress", "GET", gateway_agent_views.show_sync_progress),
            ("/sessions", "GET", session_views.show_sessions),
            ("/sessions/{key:path}/messages", "POST", session_views.send_message),
            ("/sessions/{key:path}/messages", "GET", session_views.show_session),
            ("/sessions/{key:path}", "GET", session_views.show_session),
        ]
    ],
    Route("/audit", audit_views.show_audit, name="audit"),
    Route("/audit/export", audit_views.export_audit),
    Route("/stops", organization_views.stop_agents, methods=["POST"]),
    Route("/stops/endings", organization_views.resume_agents, methods=["POST"]),
    Route("/people", organization_views.show_people, name="people"),
    Route("/people/invites", organization_views.create_invite, methods=["POST"]),
    Route("/people/invites", organization_views.show_people),
    Route(
        "/people/invites/{invite_id:uuid}/endings",
        organization_views.revoke_invite,
        methods=["POST"],
    ),
    Route("/people/{member_id:uuid}/roles", organization_views.change_role, methods=["POST"]),
    Route("/people/deletions", organization_views.delete_organization, methods=["POST"]),
    Route("/people/deletions", organization_views.show_people),
    Route("/people/{member_id:uuid}/endings", organization_views.remove_member, methods=["POST"]),
    Route("/settings", settings_views.show_settings, name="settings"),
    Route("/settings/profile", settings_views.save_profile, methods=["POST"]),
    Route("/settings/profile", settings_views.show_settings),
    Route("/settings/password", settings_views.change_password, methods=["POST"]),
    Route("/settings/password", settings_views.show_settings),
    Route("/settings/sessions/endings", settings_views.end_other_sessions, methods=["POST"]),
    Route(
        "/settings/sessions/{sign_in_id:uuid}/endings", settings_views.end_session, methods=["POST"]
    ),
    Route("/settings/tokens", settings_views.create_token, methods=["POST"]),
    Route("/settings/tokens", settings_views.show_settings),
    Route(
        "/settings/tokens/{token_id:uuid}/endings", settings_views.revoke_token, methods=["POST"]
    ),
    *[
        Route(f"{scope}/policy{path}", handler, methods=[method])
        for scope in ("/settings", "/boards/{board_id:uuid}")
        for path, method, handler in [
            ("", "GET", policy_views.show_policy),
            ("/presets", "POST", policy_views.use_preset),
            ("/rules", "POST", policy_views.save_rule),
            ("/rules/new", "GET", policy_views.show_rule),
            ("/rules/{rule_id:uuid}", "GET", policy_views.show_rule),
            ("/rules/{rule_id:uuid}", "POST", policy_views.save_rule),
            ("/rules/{rule_id:uuid}/moves", "POST", policy_views.move_rule),
            ("/rules/{rule_id:uuid}/switches", "POST", policy_views.switch_rule),
            ("/rules/{rule_id:uuid}/deletions", "POST", policy_views.delete_rule),
        ]
    ],
    Route("/rail", navigation.show_sidebar, name="rail"),
    Route("/", navigation.redirect_home, name="home"),
    Route("/boards/{board_id:uuid}", board_views.show_board, name="board"),
    Route("/boards/{board_id:uuid}/columns", board_views.show_columns),
    Route("/boards/{board_id:uuid}/cards/{task_id:uuid}", board_views.show_card),
    Route("/boards/{board_id:uuid}/crew", board_views.show_agents_panel),
    Route("/boards/{board_id:uuid}/presence", board_views.show_viewers),
    Route("/boards/{board_id:uuid}/chat", chat_views.show_chat),
    Route("/boards/{board_id:uuid}/chat", chat_views.post_message, methods=["POST"]),
    Route("/boards/{board_id:uuid}/chat/news", chat_views.show_unread_count),
    Route("/boards/{board_id:uuid}/notes", chat_views.show_notes),
    Route("/boards/{board_id:uuid}/pauses", board_views.show_pause),
    Route("/boards/{board_id:uuid}/pauses", board_views.pause_board, methods=["POST"]),
    Route("/boards/{board_id:uuid}/pauses/endings", board_views.resume_board, methods=["POST"]),
    Route("/boards/{board_id:uuid}/approvals", approval_views.redirect_to_board_inbox),
    Route("/boards/{slug}", board_views.redirect_from_slug),
    Route("/boards/{board_id:uuid}/tasks", task_views.create_task, methods=["POST"]),
    Route("/boards/{board_id:uuid}/tasks/new", task_views.show_new_task_form),
    *[
        Route(f"{TASK_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", task_views.show_task),
            ("/moves", "POST", task_views.move_task),
            ("/changes", "POST", task_views.update_task),
            ("/questions", "POST", task_views.request_approval),
            ("/deletions", "POST", task_views.delete_task),
            ("/restorations", "POST", task_views.restore_task),
            ("/comments", "POST", task_views.add_comment),
            ("/conversation", "GET", task_views.show_conversation),
            ("/runs", "GET", task_views.show_task_runs),
            ("/why", "GET", cause_views.show_task_causes),
        ]
    ],
    Route("/activity", activity_views.show_activity, name="activity"),
    Route("/activity/news", activity_views.show_new_count),
    Route("/approvals", approval_views.show_inbox, name="approvals"),
    Route("/approvals/requests/{request_id:uuid}", approval_views.show_gateway_request),
    Route(
        "/approvals/requests/{request_id:uuid}/answers",
        approval_views.resolve_gateway_request,
        methods=["POST"],
    ),
    Route("/approvals/answers", decisions_views.decide_approvals, methods=["POST"]),
    Route("/approvals/undoings", decisions_views.undo_decisions, methods=["POST"]),
    *[
        Route(f"/approvals/{{approval_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", approval_views.show_approval),
            ("/why", "GET", cause_views.show_approval_causes),
            ("/answers", "POST", decisions_views.decide_approval),
            ("/undoings", "POST", decisions_views.undo_decision),
            ("/questions", "POST", decisions_views.request_clarification),
        ]
    ],
]

signed_in_middleware = Middleware(
    RequireCallerMiddleware,
    identify=viewer.rate_limited_viewer,
    otherwise=viewer.redirect_to_sign_in,
)
member_middleware = Middleware(viewer.RequireMemberMiddleware)

pages = Mount(
    "/",
    routes=[
        *PUBLIC_ROUTES,
        Mount(
            "/",
            routes=[
                *SIGNED_IN_ROUTES,
                Mount("/", routes=MEMBER_ROUTES, middleware=[member_middleware]),
            ],
            middleware=[signed_in_middleware, Middleware(viewer.UpgradeCookieMiddleware)],
        ),
    ],
    middleware=[
        Middleware(SameOriginMiddleware),
        Middleware(
            ExceptionMiddleware,
            handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
        ),
    ],
)
