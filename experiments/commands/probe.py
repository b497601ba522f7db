"""The command `probe`: the direction of an event that is described in words, in a base network of a run."""

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.commands.parsing import parse, say
from experiments.design.study import StudyRun
from experiments.storage.run_folder import RunFolder, find
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment
    from experiments.probing import ProbeResult
    from models.network import Network


@dataclasses.dataclass(frozen=True)
class _Probe:
    folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FOLDER")]]
    """The folder that `finebayes run` printed."""
    description: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DESCRIPTION")]]
    """What comes, in words of the process: "newline next", "newline within 3", "no newline within 2", "at
    least 2 newline within 4", "word 1 (1) before newline within 3". A wrong word is answered with the names
    of tokens. Example: finebayes probe results/linebreak-widths/HASH "newline within 3" --base 1"""
    base: int = 0
    """The base network, from 0 on."""
    depth: int | None = None
    """The depth of the stream, 0 for the embedding, then one after each block (default: all)."""
    link: str = "probability"
    """Whether p(A) is linear in the stream, or its log-odds are: probability or log-odds."""
    labels: int = 0
    """Fit on so many contexts that the network wrote, by what came there, not by the description alone."""
    seed: int = 0
    """The documents that are drawn."""
    networks: str = ""
    """Where the base networks are (default: where `finebayes run` puts them)."""
    out: str = ""
    """Where figure and table go (default: FOLDER/figures)."""


def probe(arguments: list[str]) -> None:
    options = parse(_Probe, "probe", arguments)
    run = find(options.folder, say)
    from experiments.runs.environment import prepare_devices

    prepare_devices()
    from experiments.probing import probe as find_probe
    from experiments.runs.environment import fix_settings

    for sentence in fix_settings():
        say(sentence)
    experiment, network = _base_network(run, options.base, options.networks)
    result = find_probe(
        network,
        experiment.process,
        options.description,
        depth=options.depth,
        link=options.link,
        labels=options.labels,
        seed=options.seed,
    )
    paths = _save(result, Path(options.out or run.folder / "figures"), options.base)
    print(result.table(), *paths, sep="\n")


def _base_network(run: RunFolder, base: int, networks: str) -> "tuple[Experiment, Network]":
    """A base network of a run, numbered through all draws of the process, and the experiment of its draw."""
    import jax

    from experiments.runs.base_networks import BaseNetworks

    experiments = StudyRun.of(run).experiments()
    seeds = experiments[0].base_seeds
    if not 0 <= base < seeds * len(experiments):
        raise Misuse(
            f"The base networks of this run are 0 to {seeds * len(experiments) - 1}, got --base {base}."
        )
    experiment = experiments[base // seeds]
    # beside the run, in the folder of its sweep, or in the one that all runs share
    places = [Path(networks)] if networks else [run.folder / up / "networks" for up in (".", "..", "../..")]
    kept = [BaseNetworks(folder) for folder in places if BaseNetworks(folder).path(experiment).exists()]
    if not kept:
        name = BaseNetworks(places[0]).path(experiment).name
        raise Misuse(
            f"The base networks of this run, {name}, are not in {', '.join(map(str, places))}; name their "
            "folder with --networks, or run again if the code has changed since."
        )
    stacked = kept[0].load(experiment)
    return experiment, jax.tree.map(lambda leaf: leaf[base % seeds], stacked)


def _save(result: "ProbeResult", folder: Path, base: int) -> list[Path]:
    """Write the figure in every format, and the records as a table."""
    from experiments.figures.style import FORMATS, save_figure, style
    from experiments.storage.files import as_csv, write_text

    words = re.sub(r"[^a-z0-9]+", "-", result.probe.description.lower()).strip("-")
    stem, figure = f"probe-{words}-base{base}", result.figure()
    paths = [folder / f"{stem}.{kind}" for kind in FORMATS]
    with style():
        for path in paths:
            save_figure(path, figure)
    table = folder / f"{stem}.csv"
    write_text(table, as_csv(result.records()))
    return [paths[0], table]
