"""Tables of log-probabilities that were computed elsewhere: read, checked, made the cells of a run."""
