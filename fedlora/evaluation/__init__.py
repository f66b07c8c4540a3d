"""What the table says: methods, shares of the gap, intervals."""
