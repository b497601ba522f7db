"""Studies: one file is one question and one figure."""
