"""Commands: `./run NAME` calls `main(arguments)` of the module with that name."""
