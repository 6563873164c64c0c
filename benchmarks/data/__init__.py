"""Images in, data sets out: what they cost against the work that nobody can spare."""
