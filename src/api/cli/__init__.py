"""A person's door: the `headrace` command."""
