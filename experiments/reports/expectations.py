"""The forecasts of a run as text: theories × doses, for each method and D'. No jax."""

from collections.abc import Sequence

from experiments.reports.sentences import aligned
from experiments.scoring.forecasts import Forecast, judged
from experiments.scoring.labels import nats

ABOUT = (
    "Expected shift, KL(theory ‖ base network) in nats, mean over contexts of {group}, finetuning seeds and "
    "base networks. forecasts.csv has all doses and groups."
)
MOST_DOSES = 4


def forecast_text(lines: Sequence[Forecast]) -> str:
    """A table of the first group that theories are judged on, at up to four doses."""
    ours = judged(lines)
    if not ours:
        return "No theory forecasts anything of this study."
    doses = sorted({line.dose for line in ours})
    doses = doses[:: max(1, -(-len(doses) // MOST_DOSES))][: MOST_DOSES - 1] + doses[-1:]
    doses = list(dict.fromkeys(doses))
    rows = [["method", "data", "theory", "prior", *(f"dose {dose}" for dose in doses)]]
    most = max(line.networks for line in ours)
    by_dose = {(line.method, line.data, line.theory, line.prior, line.dose): line for line in ours}
    for names in dict.fromkeys(key[:4] for key in by_dose):
        rows.append([*names, *(_cell(by_dose.get((*names, dose)), most) for dose in doses)])
    return f"{aligned(rows)}\n\n{ABOUT.format(group=ours[0].group)}"


def _cell(line: Forecast | None, most: int) -> str:
    """The shift, with the number of networks where others have more; or that the theory fails."""
    if line is None:
        return nats(None)
    few = f" ({line.networks} of {most} networks)" * (line.networks < most)
    return line.failing or nats(line.shift) + few
