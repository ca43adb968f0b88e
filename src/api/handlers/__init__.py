"""One request, one answer."""
