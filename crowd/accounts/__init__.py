"""People: who they are, how they log in, whether they are suspended. Grades change in `tiers`."""
