"""Routes of the pages of skills.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""

from starlette.routing import Route

from web.skills import pack_views, selection_views, views

SKILL_PATH = "/skills/{skill_id:uuid}"
INSTALLATION_PATH = f"{SKILL_PATH}/gateways/{{gateway_id:uuid}}"
PACKS_PATH = "/skills/packs"
PACK_PATH = f"{PACKS_PATH}/{{pack_id:uuid}}"

SKILL_ROUTES: list[Route] = [
    Route("/skills", views.show_skills, name="skills"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/skills", "POST", views.create_skill),
            (PACKS_PATH, "GET", pack_views.show_packs),
            (PACKS_PATH, "POST", pack_views.create_pack),
            (f"{PACKS_PATH}/new", "GET", pack_views.show_new_pack_form),
            (f"{PACKS_PATH}/uploads", "POST", pack_views.upload_pack),
            (f"{PACKS_PATH}/uploads", "GET", pack_views.show_new_pack_form),
            (f"{PACKS_PATH}/fetches", "POST", selection_views.fetch_packs),
            (f"{PACKS_PATH}/fetches", "GET", pack_views.show_packs),
            (f"{PACKS_PATH}/deletions", "POST", selection_views.delete_packs),
            (f"{PACKS_PATH}/deletions", "GET", pack_views.show_packs),
            ("/skills/deletions", "POST", selection_views.delete_skills),
            ("/skills/deletions", "GET", views.show_skills),
            (PACK_PATH, "GET", pack_views.show_pack),
            (f"{PACK_PATH}/changes", "POST", pack_views.update_pack),
            (f"{PACK_PATH}/changes", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/fetches", "POST", pack_views.fetch_pack),
            (f"{PACK_PATH}/fetches", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/acceptances", "POST", pack_views.accept_update),
            (f"{PACK_PATH}/acceptances", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/discards", "POST", pack_views.discard_update),
            (f"{PACK_PATH}/discards", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/deletions", "POST", pack_views.delete_pack),
            (f"{PACK_PATH}/deletions", "GET", pack_views.show_pack),
            (SKILL_PATH, "GET", views.show_skill),
            (f"{SKILL_PATH}/deletions", "POST", views.delete_skill),
            (f"{SKILL_PATH}/deletions", "GET", views.show_skill),
            (INSTALLATION_PATH, "GET", views.show_installation),
            (INSTALLATION_PATH, "POST", views.install_skill),
            (f"{INSTALLATION_PATH}/removals", "POST", views.remove_skill),
            (f"{INSTALLATION_PATH}/removals", "GET", views.show_installation),
        ]
    ],
]
"""Forms and pages, for admins."""
