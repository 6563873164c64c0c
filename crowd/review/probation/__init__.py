"""Probation: somebody's first reviews are judged a second time, by people who are known to see well."""
