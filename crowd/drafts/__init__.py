"""Work that is not finished: what a person has done so far of a task they hold. Never an answer."""
