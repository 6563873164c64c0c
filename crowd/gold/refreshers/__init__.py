"""Refreshers: who drifts is offered practice at the stage where it shows."""
