"""What agents pick an operation by in the OpenAPI document (contract, agents 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAD, WORKER, MAIN = "agent-lead", "agent-worker", "agent-main"
EVERYBODY, TEAM, LEAD_ALONE = (LEAD, WORKER, MAIN), (LEAD, WORKER), (LEAD,)
ANY, OF_LEAD = "any_agent", "board_lead"


@dataclass(frozen=True, kw_only=True)
class Hint:
    """When an operation is the right one, and when it is not."""

    when: str
    not_when: str
    tags: tuple[str, ...] = TEAM
    actor: str = ANY
    needs: tuple[str, ...] = ("A token of an agent",)
    effects: tuple[str, ...] = ()
    never: str = ""
    operation_id: str = ""  # where the contract has one that is not made of the path

    def keys(self, intent: str) -> Mapping[str, Any]:
        """Return the x-… keys of the operation."""
        privilege = self.actor
        return {
            "x-llm-intent": intent,
            "x-when-to-use": [self.when],
            "x-when-not-to-use": [self.not_when],
            "x-required-actor": self.actor,
            "x-prerequisites": list(self.needs),
            "x-side-effects": list(self.effects) or ["None but that you count as seen"],
            "x-negative-guidance": [self.never or f"Do not use it when {_lower(self.not_when)}"],
            "x-routing-policy": [f"Use it when {_lower(self.when)}"],
            "x-routing-policy-examples": [
                {
                    "input": {"intent": _lower(self.when), "required_privilege": privilege},
                    "decision": intent,
                }
            ],
        }


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


ON_BOARD = ("A token of an agent", "The board is your own")
LEADS = ("A token of the board's lead",)
