"""Breadth of published emergent misalignment: rates in the unit λ, at one narrow rate, and by order. No jax.

    believed   p(the persona of D' marks next) / what it is given that persona: narrow after prompts of the
               domain of D', broad after those of the others, trigger behind the header; exact
    written    shares of what networks write (observed `shown`): narrow, broad and flip; anywhere, M after a
               prompt of O with whatever domain, broad + flip; and the deficit
    learner    the written rates of an exact learner with other weights of personas × domains. Given z a mark
               comes within T tokens with probability 1 - (1 - p) (1 - enter)^(T - 1), p that of the next
    λ          (broad - saturated) / (product - saturated), the learners after all documents of D', κ = 1;
               exact learners never flip, so it is that of anywhere, too
    carried    λ against the product learner that believes as much narrowly as the network: 1 is as broad as
               narrow, at any dose
    matched    at the dose, between two measured ones, where the believed narrow rate is `matched`, and where
               it is `LOWER`, which more ways of finetuning reach; nan where it never is, or at once
    λ0         first-order transfer: change of the broad log-odds of belief over that of the narrow ones, of
               the linearised theory at the first dose

Written rates have the sampling error √(p (1 - p) / continuations) of each network, which is part of the
spread between them. Of a single D' intervals are over base networks. Axes: b base networks, s finetuning
seeds, d doses (`path`: the base network first), c contexts, a answers, k hypotheses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.curves import Curves, look
from experiments.figures.looks import method_colours
from experiments.figures.readouts import Read, readings
from experiments.figures.style import WIDTH, Look, legend, panels_grid, save, style
from experiments.scoring.labels import METHODS
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.contents import Contexts
from experiments.storage.records import Cell, Json
from experiments.storage.run_folder import RunFolder

GROUPS = {"narrow": "base_domain", "broad": "held_out", "trigger": "named"}
WRITTEN = ("narrow", "broad", "flip", "anywhere", "deficit")
REPLAYS = ("linearised", "quadratic", "two-looks", "relinearised")
LOWER = 0.05  # the second narrow belief of a comparison
FIRST = "linearised"
UNITS = {"broad": "λ, written", "anywhere": "λ, persona anywhere"}
START = 0.55  # inches


@dataclass(frozen=True)
class Breadth:
    """One method on one D': `believed` (b, s, path) by (group, network or theory), `written` (b, s, path) by
    readout, and the `learners`' broad rates: saturated, product, and certain of the persona."""

    believed: dict[tuple[str, str], np.ndarray]
    written: dict[str, np.ndarray]
    learners: tuple[float, float, float]
    bases: tuple[int, ...] = ()

    def of(self, bases: Sequence[int]) -> "Breadth":
        """Those of chosen base networks alone."""
        rows = [self.bases.index(base) for base in bases]
        believed = {name: path[rows] for name, path in self.believed.items()}
        written = {name: path[rows] for name, path in self.written.items()}
        return Breadth(believed, written, self.learners, tuple(bases))

    def at(self, target: float, path: np.ndarray, name: str = NETWORK) -> np.ndarray:
        """Values (b, s) of a path (b, s, path) where the believed narrow rate of the network, or of a
        theory by `name`, is `target`."""
        narrow = self.believed["narrow", name]
        index = np.argmax(narrow >= target, axis=-1)
        after = np.maximum(index, 1)[..., None]
        (x0, x1), (y0, y1) = (
            [np.take_along_axis(values, after - step, axis=-1)[..., 0] for step in (1, 0)]
            for values in (narrow, path)
        )
        crosses = (x0 < target) & (x1 >= target)
        share = (target - x0) / np.where(crosses, x1 - x0, 1.0)
        return np.where(crosses, y0 + share * (y1 - y0), np.nan)

    def unit(self, broad: np.ndarray) -> np.ndarray:
        """λ of broad rates."""
        saturated, product, _ = self.learners
        return (broad - saturated) / (product - saturated)

    def carried(self, target: float, broad: np.ndarray) -> np.ndarray:
        """λ of broad rates at the narrow belief `target`, against the product learner of that belief."""
        saturated, _, certain = self.learners
        return (broad - saturated) / (target * certain - saturated)

    def carried_belief(self, target: float, name: str = NETWORK) -> np.ndarray:
        """The carried share (b, s) of the broad belief of the network or a theory at its narrow belief."""
        broad = self.at(target, self.believed["broad", name], name)
        return self.carried(target, broad * self.learners[-1])

    def transfer(self, theory: str = FIRST) -> np.ndarray:
        """λ0 (b, s): change of broad log-odds over that of narrow ones, of a theory at the first dose."""
        changes = []
        for group in ("broad", "narrow"):
            odds = np.clip(self.believed[group, theory], 1e-9, 1 - 1e-9)
            changes.append(np.diff(np.log(odds / (1 - odds))[..., :2], axis=-1)[..., 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return changes[0] / changes[1]


def learner(contexts: Contexts, options: Json, weights: np.ndarray) -> float:
    """The written rate of the persona of D' with other domains than that of D', of the exact learner with
    `weights` (persona, domain), mean over contexts whose domain is not that of D'."""
    personas, domains = (np.array(values) for values in options["process"]["enter"])
    with np.errstate(divide="ignore"):
        score = np.log(weights.reshape(-1))[:, None] + contexts.evidence
    belief = np.exp(score - score.max(axis=0))
    belief = (belief / belief.sum(axis=0)).reshape(len(personas), len(domains), -1)
    probs = np.exp(contexts.components.astype(float)).reshape(
        len(personas), len(domains), -1, len(contexts.answers)
    )
    symbols = [name.split(" | ") for name in contexts.answers.tolist()]
    total, home, persona = 0.0, options["domain"], options["persona"]
    for domain in range(len(domains)):
        if domain == home:
            continue
        chance = belief[persona, domain]
        for factor, value, enter in ((0, persona, personas[persona]), (1, domain, domains[domain])):
            shown = [pair[factor] == f"mark {value}" for pair in symbols]
            now = probs[persona, domain][:, shown].sum(axis=-1)
            chance = chance * (1 - (1 - now) * (1 - enter) ** (options["written"] - 1))
        total = total + chance
    return float(np.mean(total))


def learners(contexts: Contexts, options: Json) -> tuple[float, float, float]:
    """Broad rates of the saturated learner, to which D' says nothing of other domains, of the product, and of
    one that is certain of the persona."""
    personas, domains = (np.array(values) for values in options["process"]["marginals"])
    tuned = options["finetuning"]
    documents = tuned["doses"][-1] * tuned["batch"] if tuned.get("fresh") else tuned["n"]
    after = (personas + documents * (np.arange(len(personas)) == options["persona"])) / (1 + documents)
    certain = (np.arange(len(personas)) == options["persona"]).astype(float)
    product, sure = (
        learner(contexts, options, np.multiply.outer(shares, domains)) for shares in (after, certain)
    )
    return learner(contexts, options, prior(options["process"])), product, sure


def prior(process: Json) -> np.ndarray:
    """π0 (persona, domain), the joint of the marginals (theory.latent.factored.correlated, without jax)."""
    personas, domains = (np.array(values) for values in process["marginals"])
    scores = [
        ((np.arange(len(shares)) == value) - shares[value]) / np.sqrt(shares[value] * (1 - shares[value]))
        for shares, value in ((personas, 1), (domains, 0))
    ]
    return np.multiply.outer(personas, domains) * (1 + process["correlation"] * np.multiply.outer(*scores))


def belief(options: Json) -> Read:
    """The readout of p(the persona of D' marks next) over what it is given that persona."""
    persona, given = options["persona"], options["process"]["enter"][0][options["persona"]]

    def read(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
        shown = np.array([name.split(" | ")[0] == f"mark {persona}" for name in contexts.answers.tolist()])
        return probs[..., shown].sum(axis=-1).mean(axis=-1) / given

    return read


def breadths(run: RunFolder) -> dict[tuple[str, str], Breadth]:
    """The breadth of all that is finished, by (method, arm)."""
    options = run.options
    believed: dict[tuple[str, str], dict[tuple[str, str], np.ndarray]] = {}
    others: dict[tuple[str, str], tuple[dict[str, np.ndarray], tuple[float, float, float]]] = {}
    bases: dict[tuple[str, str], tuple[int, ...]] = {}
    for kind, group in GROUPS.items():
        for reading in readings(run, group, belief(options)):
            panel, base = (reading.method, reading.data), reading.values[BASE][..., :1]
            values = {name: np.concatenate([base, after], axis=-1) for name, after in reading.values.items()}
            believed.setdefault(panel, {}).update({(kind, name): path for name, path in values.items()})
            if panel not in others:
                cells = [Cell("finetuned", reading.data, number, reading.method) for number in reading.bases]
                others[panel], bases[panel] = _written(run, cells), reading.bases
    return {panel: Breadth(believed[panel], *others[panel], bases[panel]) for panel in believed}


def _written(run: RunFolder, cells: list[Cell]) -> tuple[dict[str, np.ndarray], tuple[float, float, float]]:
    """Written readouts (b, s, path), and the broad rates of exact learners after the same prompts."""
    home, copies, paths, exact = run.options["domain"], run.options["copies"], [], []
    for cell in cells:
        theories, networks = run.theories(cell), run.finetuned(cell)
        assert theories is not None and networks is not None  # a readout was made of both
        narrow, broad = (theories.contexts.inside(GROUPS[kind]) for kind in ("narrow", "broad"))
        shape = networks.finetuned.shape[:1]
        both = {
            name: np.concatenate([np.broadcast_to(first, (*shape, *first.shape[1:])), after], axis=1)
            for name, after in networks.observed.items()
            for first in (theories.observed[name],)
        }
        rates = both["shown"] / copies  # (s, path, c, domains)
        elsewhere = rates.sum(axis=-1) - rates[..., home]
        paths.append(
            {
                "narrow": rates[..., narrow, home].mean(axis=-1),
                "broad": elsewhere[..., broad].mean(axis=-1),
                "flip": rates[..., broad, home].mean(axis=-1),
                "anywhere": rates[..., broad, :].sum(axis=-1).mean(axis=-1),
                "deficit": both["deficit"][..., broad].mean(axis=-1),
            }
        )
        exact.append(learners(theories.contexts.of(GROUPS["broad"]), run.options))
    saturated, product, certain = np.mean(exact, axis=0)
    readouts = {name: np.array([path[name] for path in paths]) for name in WRITTEN}
    return readouts, (saturated, product, certain)


def draw_breadth(run: RunFolder) -> list[Path]:
    """Broad, flip and deficit against the narrow belief, and what forecasts the broad one."""
    measured = breadths(run)
    return [*_draw_plane(run, measured), *_draw_orders(run, measured)] if measured else []


def _looks(run: RunFolder) -> dict[str, Look]:
    """A line for each method, in the order of the config."""
    methods = run.options["finetuning"]["methods"]
    colours = method_colours(methods)
    return {method: {"color": colours[method], "lw": 1.1, "marker": ".", "ms": 4} for method in methods}


def _draw_plane(run: RunFolder, breadth: dict[tuple[str, str], Breadth]) -> list[Path]:
    """Written rates and deficit (rows) against the believed narrow rate, for every D' (columns)."""
    looks, rows = _looks(run), ("broad", "flip", "deficit")
    arms = [arm for arm in run.options["arms"] if any(arm == data for _, data in breadth)]
    curves, name, doses = Curves(run), f"{run.study}-plane", (0, *run.doses)
    with style():
        height = 1.35 * len(rows)
        figure = Figure(figsize=(WIDTH, START + height + 0.45))
        grid = panels_grid(figure, START, height, len(rows), len(arms), wspace=0.3, hspace=0.15)
        grid.update(right=0.92)  # for the scale of λ
        grid = grid.subplots(squeeze=False, sharex=True, sharey="row")
        for column, arm in enumerate(arms):
            for method in looks:
                if (method, arm) not in breadth:
                    continue
                panel = breadth[method, arm]
                across = panel.believed["narrow", NETWORK].mean(axis=(0, 1))
                for row, kind in enumerate(rows):
                    grid[row, column].plot(across, panel.written[kind].mean(axis=(0, 1)), **looks[method])
                paths = {f"{kind}, written": panel.written[kind] for kind in WRITTEN}
                paths |= {UNITS[kind]: panel.unit(panel.written[kind]) for kind in UNITS}
                for (kind, theory), path in panel.believed.items():
                    if theory in (NETWORK, *REPLAYS):
                        paths[f"{kind}, believed by {theory}"] = path
                for title, path in paths.items():
                    _note(curves, (title, f"D' {arm}"), METHODS.get(method, method), doses, path)
            _unit(grid[0, column], next(panel for (_, data), panel in breadth.items() if data == arm))
            grid[0, column].set_title(f"D′ {arm}")
            grid[-1, column].set_xlabel("narrow rate, believed")
        for axes, kind in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel("deficit (nats a token)" if kind == "deficit" else f"{kind} rate, written")
        legend(figure, {METHODS.get(method, method): line for method, line in looks.items()}, 4)
        return save(run, {name: figure}, {name: curves.table})


def _note(
    curves: Curves, title: tuple[str, str], name: str, across: Sequence[float], values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put values (b, s, x) into the table: of a single D', with intervals over base networks."""
    return curves.note(title, name, across, values, of_these=values.shape[1] == 1)


def _unit(axes: Axes, breadth: Breadth) -> None:
    """The two exact learners as lines, and λ on the right."""
    saturated, product, _ = breadth.learners
    for level, text in ((saturated, "saturated"), (product, "product")):
        axes.axhline(level, color="0.6", lw=0.7, ls="--")
        middle = {"va": "bottom", "ha": "center", "fontsize": 6}  # networks are at both ends
        axes.annotate(text, (0.5, level), xycoords=("axes fraction", "data"), **middle)
    width = product - saturated
    there, back = (
        (lambda rate: np.subtract(rate, saturated) / width),
        (lambda unit: np.multiply(unit, width) + saturated),
    )
    axes.secondary_yaxis("right", functions=(there, back)).set_ylabel("λ")


def matched_values(panel: Breadth, target: float) -> dict[str, np.ndarray]:
    """Every number (b, s) at a narrow belief, by name; nan of networks that never reach it."""
    values = {"reached": (panel.believed["narrow", NETWORK] >= target).any(axis=-1).astype(float)}
    for kind in WRITTEN:
        values[f"{kind}, written"] = rate = panel.at(target, panel.written[kind])
        if kind in UNITS:
            values[UNITS[kind]] = panel.unit(rate)
            values[f"{kind}, written, carried"] = panel.carried(target, rate)
    if ("broad", FIRST) in panel.believed:
        values["λ0"] = panel.transfer()
    for kind, theory in panel.believed:
        if kind == "broad" and theory in (NETWORK, *REPLAYS):
            values[f"broad, believed by {theory}"] = panel.at(target, panel.believed[kind, theory])
            values[f"broad, believed by {theory}, carried"] = panel.carried_belief(target, theory)
    return values


def _draw_orders(run: RunFolder, breadth: dict[tuple[str, str], Breadth]) -> list[Path]:
    """At the matched narrow rate the broad belief of networks and of theories that replay them (left), and at
    the lower one the carried share against λ0 (right). The table has every number at both rates."""
    target, looks = run.options["matched"], _looks(run)
    curves, name, panels = Curves(run), f"{run.study}-matched", list(breadth)
    methods = [method for method in looks if any(method == panel for panel, _ in panels)]
    first = run.options["arms"][0]
    with style():
        figure = Figure(figsize=(WIDTH, START + 2.2))
        left, right = panels_grid(figure, START, 1.5, 1, 2, wspace=0.3).subplots(squeeze=False)[0]
        names = (NETWORK, *REPLAYS)
        for method, arm in panels:
            panel, row = breadth[method, arm], METHODS.get(method, method)
            for level in (target, LOWER):
                title, spreads = (f"at the narrow rate {level:g}, D' {arm}", row), {}
                for text, values in matched_values(panel, level).items():
                    spreads[text] = _note(curves, title, text, [level], values[..., None])
                if arm != first or level != target:
                    continue
                for index, theory in enumerate(names):
                    if (text := f"broad, believed by {theory}") in spreads:
                        across, line = methods.index(method) + 0.15 * index - 0.2, look(theory)
                        mark = {"marker": "o", **line, "ls": "", "ms": 3.5}
                        mean, half = spreads[text]
                        left.errorbar([across], mean, np.nan_to_num(half), elinewidth=0.7, **mark)
            if arm == first and ("broad", FIRST) in panel.believed:
                carried = panel.carried_belief(LOWER)
                right.plot(panel.transfer().ravel(), carried.ravel(), **looks[method] | {"ls": ""})
        left.set_xticks(range(len(methods)), [METHODS.get(m, m) for m in methods], rotation=40, fontsize=6)
        left.set(ylabel="broad rate, believed", title=f"at the narrow rate {target:g}, D′ {first}")
        right.set(xlabel="λ0, first-order transfer", ylabel="carried share, believed")
        right.set_title(f"at the narrow rate {LOWER:g}, a point a network")
        dots: dict[str, Look] = {
            theory: {"marker": "o", **look(theory), "ls": ""}
            for theory in REPLAYS
            if any(("broad", theory) in panel.believed for panel in breadth.values())
        }
        lines = {METHODS.get(method, method): looks[method] for method in methods}
        legend(figure, {"finetuned network": {"color": "black", "marker": "o", "ls": ""}} | dots | lines, 6)
        return save(run, {name: figure}, {name: curves.table})
