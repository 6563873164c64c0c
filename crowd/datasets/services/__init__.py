"""What models say of released images, offered as a service: asked for, approved, each use noted."""
