"""Speaking to an OpenClaw gateway, over its WebSocket protocol 4. No database, no HTTP face.

Whoever knows a `Target` asks the gateway through a `Link`; `climb` finds out what is in the way.
"""

from openclaw.addresses import LONGEST_URL, Address, Guard, parse
from openclaw.advice import Advice, advise
from openclaw.catalogue import EVENTS, METHODS, VERSION
from openclaw.connection import Connection, connect
from openclaw.device import Device
from openclaw.errors import GatewayError, Trouble
from openclaw.frames import Event
from openclaw.ladder import NAMES, Check, CheckState, Ladder, climb, locked, seen
from openclaw.link import Budget, Link
from openclaw.protocol import PROTOCOLS, SCOPES, Hello, Target
from openclaw.subscriptions import MISSED, Subscription
from openclaw.watching import watch

__all__ = [
    "EVENTS",
    "LONGEST_URL",
    "METHODS",
    "MISSED",
    "NAMES",
    "PROTOCOLS",
    "SCOPES",
    "VERSION",
    "Address",
    "Advice",
    "Budget",
    "Check",
    "CheckState",
    "Connection",
    "Device",
    "Event",
    "GatewayError",
    "Guard",
    "Hello",
    "Ladder",
    "Link",
    "Subscription",
    "Target",
    "Trouble",
    "advise",
    "climb",
    "connect",
    "locked",
    "parse",
    "seen",
    "watch",
]
