"""The images behind a figure: what a bar of a plot leads to."""
