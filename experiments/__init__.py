"""Studies, results on disk, scores, figures and the command line."""
