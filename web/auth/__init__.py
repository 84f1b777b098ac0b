"""Sign-in, sessions of browsers, and one-time links."""
