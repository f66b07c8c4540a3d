"""What a newcomer is given."""
