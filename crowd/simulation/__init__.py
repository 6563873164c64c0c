"""What stands in for the world outside: drawn garments, sample photographs, a crowd of bots."""
