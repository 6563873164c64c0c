"""Answers looked at once more, blind, by somebody who had no part in their image."""
