"""Appeals: somebody finds that an answer of theirs was wrongly judged."""
