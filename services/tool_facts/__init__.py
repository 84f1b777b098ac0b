"""What tool calls of coding agents do, from what their clients report. Pure functions."""

from services.tool_facts.facts import Command, ToolFacts
from services.tool_facts.inputs import build_excerpt, hash_request, mask_secrets
from services.tool_facts.tools import read_facts
