"""Source images: suppliers, rights, the intake decision, working images, and an image's history."""
