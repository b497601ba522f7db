"""Names and axes of arrays of a cell of curves: errors and use of the column, queries moved, tiles.

Cells made before these were measured lack them, and are read without. Axes, beyond those of
experiments.storage.curve_cell: O depths with the embedding, E errors (`ERRORS`), A ablated subspaces
(`ABLATED`), H heads (`HEADS`), Q slopes (`QUERIES`), Y queries without a column (`UNTURNED`), T of tiles
(`TILES`), P statistics of past lines at newlines (`AT_NEWLINES`).

    errors         of the column that is read off a stream, in characters (theory.probes.number_errors)
    ablated        nats after words, of subspaces of the column's dimension (theory.probes.ablation)
    exact_ablated  those of the exact process without the column
    query_slopes   after queries of a block are moved from a column to another
    unturned       nats after words if the queries of a block know the mean column alone
    tiled          where heads look, by the characters that remain (theory.probes.tiling)
    lines_read     R² of statistics, read off the stream after a newline; of `lines_beyond`, of what the three
                   others do not tell (theory.probes.partial)

Numpy only.
"""

ERRORS = ("linear", "classes", "constant")
ABLATED = ("column", "random", "random, as much")
HEADS = ("twisted head", "all heads")
QUERIES = ("attention", "attention, random", "newline", "newline, random")
UNTURNED = ("column", "random")
TILES = ("apart", "within", "inner", "line_head", "line_sum")
AT_NEWLINES = ("mean", "maximum", "moving average", "last line")
USE_AXES = {
    **{"errors": "OE", "untrained_errors": "OE"},
    **{"ablated": "lAk", "exact_ablated": "k"},
    **{"query_slopes": "bHQ", "unturned": "bYk"},
    **{"tiled": "bT", "untrained_tiled": "bT"},
    **{"lines_read": "lP", "lines_beyond": "lP"},
}
