"""How fast data comes in and goes out, beside the least that each must cost."""
