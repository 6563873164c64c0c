"""Review: Likert verdicts, the two blind seats, adjudication, feedback, and talk about a task."""
