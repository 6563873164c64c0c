"""Models: nets, training, and the candidates they propose. The web process never imports torch."""
