"""Gold: tasks with a known answer, hidden among the others, in courses and in exams."""
