"""One module per file format of a released data set; each is pure, from a record to bytes and paths."""
