"""Page of all components, for developers: `/design`."""
