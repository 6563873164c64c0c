"""The watch over quality: curves as data grow, labels that models doubt, drift of what comes in, alerts."""
