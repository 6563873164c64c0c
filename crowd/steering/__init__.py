"""Steering: figures over what was done, plans against it, and notices to people. Changes no image and no task."""
