"""The pages of the menus: the sidebar, the tab bar of phones, and the command palette."""

from enum import StrEnum
from typing import NamedTuple

from web.ui.translation import N_


class MenuSection(StrEnum):
    """The section of the sidebar in which a page is."""

    SEARCH = "search"  # above the sections
    OVERVIEW = "overview"
    BOARDS = "boards"
    AGENTS = "agents"
    ACCOUNT = "account"


class MenuPage(NamedTuple):
    """A page that menus lead to."""

    path: str
    icon: str
    title: str
    section: MenuSection = MenuSection.ACCOUNT
    keys: str = ""
    admins_only: bool = False
    is_tab: bool = False  # in the tab bar of phones; the others are in its menu "More"
    paths_below: tuple[str, ...] = ()  # other paths at which this page is marked as the current one

    def is_current(self, path: str) -> bool:
        """Return whether a path is the page, or below it."""
        return any(f"{path}/".startswith(f"{own}/") for own in (self.path, *self.paths_below))


MENU_PAGES = (
    MenuPage("/search", "search", N_("Search"), MenuSection.SEARCH),
    MenuPage("/dashboard", "chart-column", N_("Dashboard"), MenuSection.OVERVIEW, "G D"),
    MenuPage("/approvals", "hand", N_("Needs you"), MenuSection.OVERVIEW, "G A", is_tab=True),
    MenuPage("/notifications", "bell-ring", N_("Notifications"), MenuSection.OVERVIEW, "G I"),
    MenuPage("/my-tasks", "circle-check", N_("My tasks"), MenuSection.OVERVIEW, "G T"),
    MenuPage("/boards", "square-kanban", N_("Boards"), MenuSection.BOARDS, "G B", is_tab=True),
    MenuPage("/groups", "link-2", N_("Board groups"), MenuSection.BOARDS),
    MenuPage("/agents", "bot", N_("Agents"), MenuSection.AGENTS, "G N", is_tab=True),
    MenuPage("/activity", "activity", N_("Activity"), MenuSection.OVERVIEW, "G V", is_tab=True),
    MenuPage("/gateways", "radio-tower", N_("Gateways"), MenuSection.AGENTS, admins_only=True),
    MenuPage("/souls", "sparkles", N_("Souls"), MenuSection.AGENTS, admins_only=True),
    MenuPage("/skills", "wrench", N_("Skills"), MenuSection.AGENTS, admins_only=True),
    MenuPage(
        "/people",
        "users",
        N_("People"),
        paths_below=("/organization", "/tags", "/fields", "/webhooks"),
    ),
    MenuPage("/audit", "shield-check", N_("Audit"), admins_only=True),
    MenuPage("/settings", "settings", N_("Settings"), keys="G S"),
)
"""The pages of all menus, in their order."""

FURTHER_PAGES = (
    MenuPage("/audit/communication", "message-square", N_("Communication"), admins_only=True),
    MenuPage("/skills/packs", "wrench", N_("Skill packs"), admins_only=True),
    MenuPage("/tags", "tag", N_("Tags")),
    MenuPage("/fields", "list", N_("Task fields"), admins_only=True),
    MenuPage("/webhooks", "link-2", N_("Webhooks"), admins_only=True),
    MenuPage("/organization/about", "info", N_("Organization")),
    MenuPage("/settings/policy", "shield", N_("Approval policy"), admins_only=True),
    MenuPage("/settings/notifications", "settings-2", N_("Notification preferences")),
    MenuPage("/settings/channels", "send", N_("Channels")),
    MenuPage("/settings/account", "trash-2", N_("Delete account")),
)
"""Pages that are below those of the menus: only the command palette has them too."""

FORM_PAGES = (
    MenuPage("/boards/new", "plus", N_("New board"), admins_only=True),
    MenuPage("/agents/new", "plus", N_("New agent"), admins_only=True),
    MenuPage("/gateways/new", "plus", N_("Connect a gateway"), admins_only=True),
    MenuPage("/people/invites/new", "user-plus", N_("Invite a person"), admins_only=True),
    MenuPage("/groups/new", "plus", N_("New group"), admins_only=True),
    MenuPage("/tags/new", "plus", N_("New tag"), admins_only=True),
    MenuPage("/fields/new", "plus", N_("New field"), admins_only=True),
    MenuPage("/webhooks/new", "plus", N_("New outgoing webhook"), admins_only=True),
    MenuPage("/settings/policy/rules/new", "plus", N_("New rule"), admins_only=True),
    MenuPage("/skills/packs/new", "plus", N_("Add a pack"), admins_only=True),
)
"""Pages with a form for a new object: commands of the command palette."""
