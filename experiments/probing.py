"""Probes of an event in a network of a notebook, as a result: the table, the figure, and the directions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.design.arguments import check_instance
from experiments.design.checks import check_seed
from experiments.inside import Inside
from experiments.reports.scores import Table, as_frame
from experiments.runs.environment import fixed_settings
from experiments.storage.records import Json
from models.inside import Edited, shape
from models.network import Network
from models.probing.events import DepthProbe, EventProbe, probe_event
from theory.contracts import Process
from theory.errors import Misuse
from theory.probes.automata import Automaton, Predicate
from theory.probes.descriptions import event
from theory.probes.readings import Reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {  # of the table: heading and format
    "probe": ("", "{}"),
    "excess": ("excess", "{:.4f}"),
    "slope": ("slope", "{:.2f}"),
    "intercept": ("intercept", "{:.2f}"),
    "auc": ("AUC", "{:.3f}"),
    "ceiling": ("ceiling", "{:.3f}"),
    "steering": ("nats out of one", "{:.2f}"),
    "wrong_sign": ("wrong sign", "{:.2f}"),
    "score": ("score at one out", "{:.2f}"),
}
LEAVES = 0.05  # share of streams beyond their span that is worth a sentence
NEAR = 0.5, 2.0  # nats that count as about one
ABOUT = (
    "Excess: log loss over the entropy floor, in nats; no probe at all has {missed:.4f}. Slope and "
    "intercept: of log-odds of the network's own p(A) on those read; 1 and 0 are calibrated. Ceiling: the "
    "AUC of that p(A) itself, as the network draws its tokens outside itself. Nats out of one: what one nat "
    "along the pattern adds to the log-odds of A; wrong sign: the share of contexts in which it lowers them. "
    "Score: how much of the way to exact conditioning an edit goes by which about one nat comes out; empty "
    "where none does."
)


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult:
    """Probes of an event in one network, by depth.

    `depths` have the direction (filter, pattern, shift), the quality of what is read, and the steering;
    `best` is the one with the least excess, `baselines` are readings of what is outside, `exact` is the
    network's own p(A) in the judged contexts.
    """

    probe: EventProbe

    @property
    def depths(self) -> tuple[DepthProbe, ...]:
        """The probe at every depth that was asked for."""
        return self.probe.depths

    @property
    def best(self) -> DepthProbe:
        """The probe with the least excess."""
        return self.probe.best

    @property
    def baselines(self) -> dict[str, Reading]:
        """The quality of the same reading of what is outside of the network."""
        return dict(self.probe.baselines)

    @property
    def exact(self) -> np.ndarray:
        """The network's own p(A) in the judged contexts."""
        return self.probe.exact

    def records(self) -> list[Json]:
        """A plain dict for each depth and baseline; numbers that are not defined are None."""
        lines = [
            _record(f"depth {probe.depth}", probe.reading)
            | {
                "depth": probe.depth,
                "in_sample": probe.in_sample.excess,
                "steering": probe.steering.change,
                "steering_spread": probe.steering.spread,
                "wrong_sign": probe.steering.wrong_sign,
                "nats": probe.nats,
                "beyond": probe.beyond,
                "matched": probe.matched.change,
                "score": probe.matched.score,
            }
            for probe in self.depths
        ]
        lines += [_record(name, reading) for name, reading in self.probe.baselines]
        names = list(lines[0])
        return [{name: _defined(line.get(name)) for name in names} for line in lines]

    def frame(self) -> Any:
        """The records as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame(self.records())

    def table(self) -> Table:
        """Depths and baselines: what is lost, calibration, AUC beside its ceiling, and steering."""
        lines = self.records()
        for line in lines:
            if not NEAR[0] < (line["matched"] or 0) < NEAR[1]:
                line["score"] = None
        rows = [
            [text.format(line[name]) if line[name] is not None else "" for name, (_, text) in COLUMNS.items()]
            for line in lines
        ]
        first = self.depths[0].reading
        return Table(
            [[heading for heading, _ in COLUMNS.values()], *rows],
            f"{self.title} {ABOUT.format(missed=first.prior - first.floor)}{self.warning}",
        )

    @property
    def warning(self) -> str:
        """A sentence on edits that leave the streams' span, with their shares; "" where none does."""
        left = [
            f"{probe.beyond:.0%} of streams at depth {probe.depth} (by {probe.nats:.1f} nats)"
            for probe in self.depths
            if probe.beyond > LEAVES
        ]
        if not left:
            return ""
        return (
            f" The edit by which about one nat comes out takes {', '.join(left)} beyond the span of all "
            "streams that the probe was fitted on: there its effect tells little of the network."
        )

    @property
    def title(self) -> str:
        """The event, and where the probe is from."""
        probe = self.probe
        source = f"{probe.labels} labels" if probe.labels else "the description alone"
        floor = probe.depths[0].reading.floor
        return (
            f"{probe.description or 'The event'}, read from {source} ({probe.link} link); "
            f"{len(probe.exact)} contexts, floor {floor:.4f} nats."
        )

    def figure(self) -> "Figure":
        """Calibration at the best depth, excess by depth and baseline, and steering."""
        from experiments.figures.event_probe import Panels, event_figure

        reading = self.best.reading
        return event_figure(
            Panels(
                self.title,
                self.best.read,
                self.exact,
                self.best.depth,
                {probe.depth: probe.reading.excess for probe in self.depths},
                {name: reading.excess for name, reading in self.probe.baselines},
                reading.prior - reading.floor,
                {
                    probe.depth: [(1.0, probe.steering.change), (probe.nats, probe.matched.change)]
                    for probe in self.depths
                },
            )
        )

    def __repr__(self) -> str:
        reading = self.best.reading
        return (
            f"ProbeResult({self.probe.description or 'an event'}; best at depth {self.best.depth}: excess "
            f"{reading.excess:.4f} nats, AUC {reading.auc:.3f} of {reading.ceiling:.3f})"
        )

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@fixed_settings()
def probe(
    network: Inside | Network | Edited,
    process: Process,
    described: str | Predicate | Automaton,
    *,
    horizon: int | None = None,
    depth: int | None = None,
    link: str = "probability",
    labels: int = 0,
    seed: int = 0,
) -> ProbeResult:
    """Probe a network for an event of the next tokens: "newline within 3", or a predicate with a horizon.

    The probe is made of the description alone, by the process's exact belief (`theory.probes.descriptions`
    has the words); with `labels`, of so many contexts that the network wrote, each with the one continuation
    that it wrote. It is judged on other contexts of the network's own, against its own exact p(A). Of
    `pretrain` and `finetune` the first network is probed (`.network(...)` gives others). Raises `Misuse` for
    what cannot be read or probed.
    """
    check_instance("process", process, Process, "processes.LineBreak()")
    chosen = network.network() if isinstance(network, Inside) else network
    if not isinstance(chosen, Network | Edited):
        raise Misuse(f"network must be what pretrain, finetune or edited give, got {type(network).__name__}.")
    if (length := shape(chosen)[1]) != process.length:
        raise Misuse(
            f"The network reads {length} tokens, and documents of the process have {process.length}; "
            "give the process of its pretraining."
        )
    check_seed(seed)
    automaton = event(described, process, horizon)
    options = {"depth": depth, "link": link, "labels": labels, "seed": seed}
    return ProbeResult(probe_event(chosen, process.distribution(), automaton, **options))


def _record(name: str, reading: Reading) -> Json:
    return {
        "probe": name,
        "excess": reading.excess,
        "floor": reading.floor,
        "prior": reading.prior,
        "slope": reading.slope,
        "intercept": reading.intercept,
        "auc": reading.auc,
        "ceiling": reading.ceiling,
    }


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
