"""The doors: wire protocol, server, command line, embedded."""
