"""Models offered beside releases: asked for, approved, fetched, each fetch noted."""
