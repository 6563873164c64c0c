"""Example pictures: accepted images that show people what a style or a value of an attribute looks like."""
