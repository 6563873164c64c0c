"""Training: one task, one model, one folder of data. Needs the extra `ml`; no other room imports it."""
