"""Steering: figures over what was done, plans, notices to people. Changes no image and no task."""
