"""Which theory explains the finetuning of a model whose log-probabilities were computed elsewhere?

The base model, its finetuned checkpoints and the hypotheses (the base model under prompts, say) are columns
of a table (`finebayes import`; docs/real-models.md). Theories of hypotheses are anchored at the base model;
strengths are fitted on contexts like those of D' and judged on the others. No weights are known, so that
theories over weights are scored only where their predictions stand in the table.
"""

from pathlib import Path

from experiments.storage.run_folder import RunFolder


def draw(run: RunFolder) -> list[Path]:
    """The comparison."""
    from experiments.figures.comparison import draw_comparison

    return draw_comparison(run)
