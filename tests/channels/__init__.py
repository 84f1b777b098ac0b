"""Channels: what is sent to real counterparts on this machine, and what their answers mean."""
