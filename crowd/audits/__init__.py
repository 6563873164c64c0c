"""The final audit: a sample of what is accepted, judged again before a release."""
