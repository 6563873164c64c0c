"""Who should be of which grade, by the bounds of their scores, and who must stop at once. PURE."""
