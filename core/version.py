"""The version of Mission Control. It imports nothing, so that the build can read it."""

VERSION = "1.0.0"
