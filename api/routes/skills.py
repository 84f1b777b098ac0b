"""Operations of admins on skills, on their packs, and on the skills of gateways.

The files of a skill are for the agent of a gateway: see api/routes/agent_only.py.
"""

from api.endpoints import skills
from api.framework.dependencies import (
    admin_membership,
    skill_for_admin,
    skill_pack_for_admin,
)
from api.framework.handler import Dependency, Handler
from api.routes.declare import USER, Operation

MARKETPLACE = "/skills/marketplace"
SKILL = f"{MARKETPLACE}/{{skill_id}}"
INSTALL = f"{SKILL}/install"
UNINSTALL = f"{SKILL}/uninstall"
PACKS = "/skills/packs"
PACK = f"{PACKS}/{{pack_id}}"
SYNC = f"{PACK}/sync"


def declare_skills(method: str, path: str, handler: Handler) -> Operation:
    """Declare an operation on skills, for admins of the active organization."""
    dependency: Dependency = admin_membership
    if "{skill_id}" in path:
        dependency = skill_for_admin
    elif "{pack_id}" in path:
        dependency = skill_pack_for_admin
    return Operation(method, path, handler, USER, ["skills"], dependency)


OPERATIONS: list[Operation] = [
    declare_skills("GET", MARKETPLACE, skills.list_marketplace_skills),
    declare_skills("POST", MARKETPLACE, skills.create_marketplace_skill),
    declare_skills("DELETE", SKILL, skills.delete_marketplace_skill),
    declare_skills("POST", INSTALL, skills.install_marketplace_skill),
    declare_skills("POST", UNINSTALL, skills.uninstall_marketplace_skill),
    # Packs
    declare_skills("GET", PACKS, skills.list_skill_packs),
    declare_skills("POST", PACKS, skills.create_skill_pack),
    declare_skills("GET", PACK, skills.get_skill_pack),
    declare_skills("PATCH", PACK, skills.update_skill_pack),
    declare_skills("DELETE", PACK, skills.delete_skill_pack),
    declare_skills("POST", SYNC, skills.sync_skill_pack),
]
"""The operations of the contract (agents 12).

The files of a skill are for the agent of a gateway: see api/routes/agent_only.py.
"""
