"""What a continual run left behind: how well old tasks are kept, as pictures and a table."""
