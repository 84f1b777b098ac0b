"""Routes of boards: the list, the settings, and a board with its tasks and agents."""

from starlette.routing import Route

from web.approvals import views as approval_views
from web.board_webhooks.views import BOARD_WEBHOOK_ROUTES
from web.boards import bulk_views, list_views, settings_views
from web.boards import views as board_views
from web.chat import views as chat_views
from web.saved_views.views import SAVED_VIEW_ROUTES

BOARD_PATH = "/boards/{board_id:uuid}"

BOARD_ROUTES = [
    Route("/boards", list_views.show_boards, name="boards"),
    Route("/boards", list_views.create_board, methods=["POST"], name="create_board"),
    Route("/boards/new", list_views.show_new_board_form, name="new_board"),
    Route(BOARD_PATH, board_views.show_board, name="board"),
    Route(f"{BOARD_PATH}/settings", settings_views.show_settings, name="board_settings"),
    *[
        Route(f"{BOARD_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("/settings", "POST", settings_views.save_settings),
            ("/deletions", "POST", settings_views.delete_board),
            ("/deletions", "GET", settings_views.show_settings),
            ("/columns", "GET", board_views.show_columns),
            ("/cards/{task_id:uuid}", "GET", board_views.show_card),
            ("/crew", "GET", board_views.show_agents_panel),
            ("/presence", "GET", board_views.show_viewers),
            ("/chat", "GET", chat_views.show_chat),
            ("/chat", "POST", chat_views.post_message),
            ("/chat/news", "GET", chat_views.show_unread_count),
            ("/approvals", "GET", approval_views.redirect_to_board_inbox),
            ("/pauses", "GET", board_views.show_pause),
            ("/pauses", "POST", board_views.pause_board),
            ("/pauses/endings", "POST", board_views.resume_board),
            ("/changes", "POST", bulk_views.change_tasks),
            ("/restorations", "POST", bulk_views.restore_tasks),
        ]
    ],
    *SAVED_VIEW_ROUTES,
    *BOARD_WEBHOOK_ROUTES,
    Route("/boards/{slug}", board_views.redirect_from_slug),
]
