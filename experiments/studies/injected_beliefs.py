"""Does a network report a belief that was injected, as far as it acts on it?

Documents are of one hidden coin, tossed in several formats and asked by name (study `out-of-context`). x nats
of a coin are added to the stream after the first block, along the pattern of a probe, where answers were
read; then the name is asked (said) or a format (done), and the expected bias is read off either. To exact
Bayes both are read-outs of one belief:

    said = done   injected nats move both alike, ratio 1, as D' does. Refuted by another ratio, by its whole
                  interval: then one of them is made of what the network read, not of what it believes
    slope         x nats at the last answer change the expected bias as x nats of belief do: 1. Refuted by
                  another slope (not the copy that is used, or another path supplies the old belief again)
    control       a direction as long that is orthogonal to all patterns moves neither: 0
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.inside_plan import check_steering
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("out-of-context", slip=0.02)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=3000, until_learnt=0.97)
    finetuning: FinetuningConfig = FinetuningConfig(seeds=3, doses=(8, 32, 128))
    coin: int = 4
    """The coin of D'."""
    format: int = 0
    """The format of D'."""
    documents: int = 400
    """Documents of pretraining: probes are fitted on half of them, nats injected in the others."""
    nats: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    """Nats that are injected, 0 among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steering(self.documents, self.nats)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"documents": 60, "nats": (-1.0, 0.0, 1.0), "network.layers": 2}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"pretraining.seeds": 12, "documents": 1000}),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and injected."""
    from experiments.design.experiment import Arm
    from experiments.design.shared_plans import InjectionPlan

    process = config.process.build()
    task = process.task(config.coin, config.format, config.repeats)
    return config.experiment(process, [Arm(task)], inside=InjectionPlan(config.documents, config.nats))


def findings(run: RunFolder) -> Findings:
    """The answer, a table, and what the figure shows."""
    from experiments.studies.figures.injected_beliefs import injection_findings

    return injection_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Said and done, by injection and by finetuning."""
    from experiments.studies.figures.injected_beliefs import draw_injection

    return draw_injection(run)
