"""What a newcomer gets, and what it makes of it: one policy a file."""
