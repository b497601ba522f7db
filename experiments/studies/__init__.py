"""Studies: one file is one question, its arms and its figures."""
