"""Draws dressed figures in a plain studio, each with the labels an honest worker would give it."""

from crowd.simulation.drawing.picture import Drawn, draw, draw_outfit

__all__ = ["Drawn", "draw", "draw_outfit"]
