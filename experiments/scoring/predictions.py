"""What networks and theories said, at the strengths of the rows: for figures. Numpy only.

A fitted theory is taken at the β of its row, so that a picture and its score are of one prediction; dynamics
are told as they are. Axes: s seeds, d doses, c contexts, a answers.
"""

from collections.abc import Iterator

import numpy as np

from experiments.scoring import rows as scoring
from experiments.scoring.labels import Line, one_prior
from experiments.storage.run_folder import Arrays, Results

NETWORK, BASE = "finetuned", "base"


def told(results: Results, rows: list[Line]) -> Iterator[tuple[Arrays, Arrays]]:
    """For each base network of `rows` (of one method, D' and group): the theories' arrays in the contexts of
    the group (`asked`, `members`, `evidence`, and `answers`), and log-probabilities (s, d, c, a) by name."""
    for base in sorted({row["base"] for row in rows}):
        mine = [row for row in rows if row["base"] == base]
        place, method = f"{mine[0]['data']}-{base}", mine[0]["method"]
        arrays = scoring.predictions(results, place, method)
        inside = arrays["group"] == mine[0]["group"]
        target = results.load(f"{method}-{place}")["finetuned"][..., inside, :]
        said = {NETWORK: target, BASE: np.broadcast_to(arrays["base"][inside], target.shape)}
        if "linearised" in arrays:
            said["linearised"] = arrays["linearised"][..., inside, :]
        for theory, prior in sorted({(row["theory"], row["prior"]) for row in one_prior(mine)}):
            keys = (theory, prior, "fitted")
            same = [row for row in mine if (row["theory"], row["prior"], row["grade"]) == keys]
            if same:
                wanted = np.array([row["beta"] for row in sorted(same, key=lambda row: row["dose"])]).T
                ladder = arrays[f"ladder/{theory}/{prior}"][..., inside, :]
                betas, rungs = scoring.finer(arrays[f"betas/{theory}/{prior}"], ladder)
                said[theory] = scoring.taken(rungs, np.abs(betas - wanted[..., None]).argmin(axis=-1))
        context = {
            "asked": arrays["asked"][inside],
            "answers": arrays["answers"],
            "members": arrays["members"][:, inside],
            "evidence": arrays["evidence"][:, inside],
        }
        yield context, said
