"""Measurements of the whole system; each folder is one question and one command."""
