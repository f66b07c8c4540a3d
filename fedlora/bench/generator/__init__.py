"""What a newcomer's adapter is worth, measured on tasks that no bank has seen."""
