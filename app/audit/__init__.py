"""The audit trail: which mutation changed what, and who did it."""
