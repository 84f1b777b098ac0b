"""Streams: what the viewers and programs that have event streams open may read."""

from services.streams.rights import Readable, RightsSource, SharedRights, StreamRights
