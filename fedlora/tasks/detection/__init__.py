"""Objects in images: boxes as Florence-2 writes them, their files, and scenes of real items."""
