"""Who makes a request: its tokens, and the caller whose requests are counted together."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import HTTPConnection

AGENT_TOKEN_HEADER = "X-Agent-Token"  # noqa: S105 - the name of a header


def get_agent_token(connection: HTTPConnection) -> str:
    """Return the token in the header for agents, or an empty text."""
    return connection.headers.get(AGENT_TOKEN_HEADER, "").strip()


def get_bearer_token(connection: HTTPConnection) -> str:
    """Return the bearer token (RFC 6750), or an empty text."""
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


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
