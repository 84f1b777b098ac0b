"""How fast it is: programs that measure a running installation. Nothing here is a test."""
