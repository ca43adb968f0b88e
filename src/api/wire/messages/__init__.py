"""Message declarations, one stem as its handler."""
