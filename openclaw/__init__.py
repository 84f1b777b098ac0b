"""Speaking to an OpenClaw gateway, over its WebSocket protocol 4. No database, no HTTP face.

Whoever knows a `Target` asks the gateway through a `Link`; `climb` finds out what is in the way.
"""

from openclaw.addresses import Address, Guard, parse
from openclaw.catalogue import EVENTS, METHODS, VERSION
from openclaw.connection import Connection, connect
from openclaw.device import Device
from openclaw.errors import GatewayError, Trouble
from openclaw.ladder import NAMES, Check, CheckState, Ladder, climb
from openclaw.link import Budget, Link
from openclaw.protocol import PROTOCOLS, SCOPES, Hello, Target
from openclaw.subscriptions import Subscription

__all__ = [
    "EVENTS",
    "METHODS",
    "NAMES",
    "PROTOCOLS",
    "SCOPES",
    "VERSION",
    "Address",
    "Budget",
    "Check",
    "CheckState",
    "Connection",
    "Device",
    "GatewayError",
    "Guard",
    "Hello",
    "Ladder",
    "Link",
    "Subscription",
    "Target",
    "Trouble",
    "climb",
    "connect",
    "parse",
]
