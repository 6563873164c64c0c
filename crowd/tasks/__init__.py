"""The task engine: what people claim, answer and send back, and what that does to an image."""
