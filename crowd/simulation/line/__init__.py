"""A crew that takes turns: the same work in process, by the pure rules alone, and through the API."""
