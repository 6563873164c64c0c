"""Images in, data sets out: how fast, beside the least that each must cost."""
