"""The guideline of each stage beside the task: the one that comes with the product, then an admin's."""
