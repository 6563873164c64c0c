"""Editions of the taxonomy: the file that processes start with, then what admins publish over it."""
