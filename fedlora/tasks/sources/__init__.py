"""Raw examples, one file a source."""
