"""Where examples come from: task families here, their sources in `sources`."""
