"""Figures."""
def draw_comparison(results): return []
