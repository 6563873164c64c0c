"""Images of a sample that nobody may judge: told, and drawn anew."""
