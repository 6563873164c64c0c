"""Pages for people. No rule of the process lives here."""
