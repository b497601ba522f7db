"""Figures of a report: the first one in full, all others folded behind a preview of themselves. No jax."""

import re
from html import escape
from pathlib import Path

from experiments.reports.markup import image
from experiments.storage.run_folder import RunFolder

SUMMARY = "-summary"
TITLES = {
    "": "Answers, explained shift and strength by dose",
    "-groups": "Every group of contexts",
    "-posteriors": "Sampled posteriors",
    "-swap": "State or read-out: which part of the network moved the answers",
    "-forecast": "Expected shift, sealed before any finetuning",
    "heat-map": "Heat map",
}
CAPTIONS = {
    "": "(a) Answers of the finetuned networks (bars) and the base networks (lines) in held-out contexts "
    "that moved most, the predictions of the theories, and (red) the answers that a study asks about. (b) "
    "Explained part of the shift against dose, with its interval of 95 % over base networks and D′, on an "
    "axis that is logarithmic in 1 − explained above 0.9; below it the shift in nats, and its noise. Then "
    "the same in contexts that speak of another hypothesis, where a study has them. Last, where it was "
    "fitted: β against dose, in units of each theory's last fitted β. Triangles stand for values off the "
    "scale. Of more than five curves the first of each kind of theory and the best are drawn in full, the "
    "others thin; the figure of all groups has all.",
    SUMMARY: "Explained part of the shift against dose; bars: intervals of 95 % over base networks and D′. "
    "0: no better than “nothing changed”; above 0.9 the axis is logarithmic in 1 − explained; triangles: "
    "below the axis. Grey: above what a theory blind to the order of D′ can explain. Thin: theories that "
    "neither come first of their kind nor explain most.",
    "-posteriors": "Sampled posteriors. Above: explained part of the shift on held-out contexts, for each "
    "temperature T (mean KL of the localised prior from the base, nats), next to its zero-temperature "
    "limit; a red ring marks scores whose chains have not all converged. Below: diagnostics of the chains "
    "against the strength τ = βN/γ, median (line) and worst (edge of the band) over networks, and limits.",
    "-groups": "The explained part of the shift in each group of contexts, with every theory, a network of "
    "another pretraining seed, and the answers at the dose before, scaled.",
    "-swap": "State share: how much of the shift on held-out contexts is left when the finetuned blocks get "
    "the base network's read-out; read-out share: when the base network's blocks get the finetuned read-out; "
    "with intervals of 95 % over base networks and D′. A belief that moves under a fixed p(answer | belief) "
    "is 1 and 0. Dashed: controls, which move one part alone. Triangles: below the axis.",
    "-forecast": "How far each theory expected finetuning to move the answers, before any network was "
    "finetuned: mean KL(theory ‖ base network) on the first group of contexts that theories are judged on, "
    "against dose (forecasts.csv has all groups).",
    "heat-map": "The explained part of the shift on held-out contexts, theories by ways of finetuning, at a "
    "small and at a large dose: blue explains, orange is worse than “nothing changed”; hatched where the "
    "shift does not exceed its noise, blank where a theory predicts nothing.",
}
ORDER = [*TITLES]


def first(run: RunFolder, caption: str = "") -> str:
    """The summary figure (of an older run the main one); a click shows it as wide as the window. A study with
    findings of its own has a `caption`, too."""
    kinds = {kind: path for path, kind in _figures(run)}
    kind = next((kind for kind in (SUMMARY, "") if kind in kinds), None)
    if kind is None:
        return "<p>Nothing is drawn yet.</p>"
    caption = caption or CAPTIONS[kind]
    picture = f'<a href="#figure" title="full size">{image(kinds[kind], caption)}</a>'
    words = f"<figcaption class=small>{escape(caption)}</figcaption>"
    return f'<figure id=figure><a class=close href="#">Close</a>{picture}{words}</figure>'


def folded_figures(run: RunFolder) -> str:
    """All the others, each folded behind its preview, which grows when it is opened."""
    figures = _figures(run)
    shown = SUMMARY if SUMMARY in [kind for _, kind in figures] else ""
    cards = [_card(path, kind) for path, kind in figures if kind != shown]
    return f"<div class=pictures>{''.join(cards)}</div>" if cards else ""


def _card(path: Path, kind: str) -> str:
    caption, title = CAPTIONS.get(kind, path.stem), TITLES.get(kind, kind.strip("-").replace("-", " "))
    head = f"<h2>{escape(title[:1].upper() + title[1:])}</h2>{image(path, caption)}"
    words = f"<figure><figcaption>{escape(caption)}</figcaption></figure>"
    return f"<details><summary>{head}</summary>{words}</details>"


def _figures(run: RunFolder) -> list[tuple[Path, str]]:
    """PNG files and their kinds: what comes after the study's name; known kinds first."""
    paths = sorted((run.folder / "figures").glob("*.png"), key=lambda path: path.stem)
    kinds = [re.sub(r"^(heat-map)-\d+$", r"\1", path.stem.removeprefix(run.study)) for path in paths]
    known = {kind: index for index, kind in enumerate(ORDER)}
    return sorted(zip(paths, kinds, strict=True), key=lambda figure: known.get(figure[1], len(known)))
