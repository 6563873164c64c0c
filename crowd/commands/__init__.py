"""The commands of `crowd`, one module per group; `crowd.cli` lists them."""
