"""Names and axes of arrays of a cell of curves: what writes the newline, and how it is ranked by column.

Cells made before these were measured lack them, and are read without. Axes, beyond those of
experiments.storage.curve_cell: S sums of parts (`SUMS`), W what of a block writes (`WRITERS`), C measures of
what it writes (`CODE_OF`), F what ranks contexts (`RANKED_BY`), B columns (`BANDS`).

    newline_sums     of the newline's logit less the mean of words': parts added up
    newline_writers  by block
    newline_auc      AUC of a newline within 1, 2, ... tokens (experiments.cells.newline_code)

Numpy only.
"""

SUMS = ("embedding", "heads", "perceptrons", "all")
WRITERS = ("heads", "perceptron")
CODE_OF = ("share", "log-odds", "probability", "side by side", "comparison")
RANKED_BY = ("streams", "untrained", "outputs cubic", "tokens", "exact")
BANDS = ("all columns", "early", "middle", "late")
NEWLINE_AXES = {
    **{"newline_sums": "SC", "newline_writers": "bWC", "untrained_writers": "bWC"},
    "newline_auc": "qlFB",
}
