"""Who makes a request, for limits that belong to the caller and not to a token or a session."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Caller:
    """A user with all sessions and tokens, an agent, or the network of an unknown caller."""

    key: str
    group: str = ""  # of callers that also have a limit in common
    is_user_with_token: bool = False  # whose requests do not take the slots of their pages

    @classmethod
    def from_user(cls, user_id: UUID, *, with_token: bool) -> "Caller":
        """Return the caller of a user, who uses a token, or else a page."""
        return cls(f"user {user_id}", is_user_with_token=with_token)

    @classmethod
    def from_agent(cls, agent_id: UUID, organization_id: UUID) -> "Caller":
        """Return the caller of an agent. The agents of an organization are a group."""
        return cls(f"agent {agent_id}", f"agents of {organization_id}")

    @classmethod
    def from_network(cls, network: str) -> "Caller":
        """Return the caller of requests without a valid credential."""
        return cls(f"network {network}")
