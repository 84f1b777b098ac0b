"""What can be asked of a gateway at all, for those who write scripts (contract, agents 8)."""

import openclaw

PROTOCOL = openclaw.PROTOCOLS[-1]
METHODS = openclaw.METHODS
EVENTS = openclaw.EVENTS
OFFERED_BY = openclaw.VERSION
"""The version of OpenClaw that the lists were taken from."""
