"""Is the column of a line a curve in the stream, as needed for prediction or as a place code, and is it used?

A network that breaks lines at a hidden width must know the column c, how many characters are on the line. Its
mean stream by column, at one belief over widths, is a curve; language models are reported to have such curves
of few dimensions that ring, and heads that twist them against the width (Gurnee et al., When Models
Manipulate Manifolds, 2025). Here the exact answers are known. Stated beforehand, and what refutes each:

    M1 dimension     2 or 3, as the exact probabilities of newlines have by column, says that the code is what
                     prediction needs; 5 to 7 that it is a place code, 4 neither. An interval that lies
                     outside refutes each
    M2 helix         refuted if a helix fits the curve no better than random smooth curves of the same
                     spectrum, or with a period longer than the curve, which is an arc. Better is what a
                     smooth place code has as well, with more dimensions
    M3 substitution  the code of one column in the place of another's, at one position: Bayes says that the
                     log-odds of a newline change as the exact ones, slope 1, and as the network itself
                     answers at that column. Refuted by a slope off 1: below it, another path has the column
                     too. Random directions as long say what any edit does
    M4 past lines    Bayes says that nothing explains more of the newline's log-odds, beyond the column, than
                     the exact log-odds. Refuted where the longest past line, a moving average or the last
                     line explains more
    M5 twist         a head compares column and line length by their difference: refuted if in the best block
                     its cosines are no better explained by that than under random rotations of its space
    M6 finetuning    D' of one width says nothing of the column: the curve moves by a constant and does not
                     bend, the old probe reads as before, and heads do not turn, each beyond two orders of D'.
                     Refuted by a bend or a turn larger than the twin's, or a loss of the probe
    M7 heads         what a page costs without a head, at newlines and elsewhere. No prediction: a head that
                     compares column and line length should be worth most where lines end
    M8 read-out      the column's error, read with a class a column. No prediction; published are 5 of 150
                     characters
    M9 ablation      without the column's subspace a page costs more where the exact process would without the
                     column, and as much (share 1), and more at newlines than without random subspaces of its
                     dimension and variance. Refuted by shares off 1 (below: another path has the column;
                     above: more than the column is lost), and where random ones cost more
    M10 query steps  a head that compares by the angle of query and key, whose query alone is moved to another
                     column, looks at newlines as it does there, slope 1, and the newline's log-odds follow:
                     by 1 where all heads of a block are moved and compare alone. Refuted by slopes off 1
    M11 tiles        heads share out the characters that remain: peaks of two are further apart than those of
                     one on two halves of the documents, and the writes of one are nearer to a line than their
                     sum. Refuted where either difference is not above 0
    M12 newlines     after a newline the stream has more of the posterior mean of the width, beyond other
                     statistics of past lines, than of the longest line or the moving average. Refuted where
                     one of these has more
    M13 newline code heads that compare have p(newline | column, belief over widths): what those of a block
                     write, projected on the newline, is linear in its exact log-odds or probability, R² 0.9
                     or more. Refuted below. And heads make more than perceptrons of what no sum of column
                     and width has; refuted where they make less. The code is log-odds or probability by the
                     sign of the difference of both R²
    M14 ranking      among contexts of one column, in the first third of the columns, where the next token
                     tells least, the stream ranks a newline within 3 tokens by 0.9 or more of what can be
                     known of it (AUC beyond 1/2), and above the network's outputs. Refuted below. A network
                     that looks no further than its next token has 1/2
    T6 one code      chances of a newline are a table of column and belief over widths. A code that holds the
                     two side by side lacks what is no sum of both (it has 0.63, 0.84 and 0.93 of the chances
                     within 1, 2 and 3 tokens), a joint one has it. No prediction: prediction needs it, and
                     the last block may make it from two codes

Beside the column and beside T6 stand all five baselines of a probe (theory.probes.baselines); the foreign
filter counts the same words at other lengths. It needs networks that infer:
with fewer than three quarters of inference learnt nothing here means much.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.curve_plan import CurvePlan
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF
from experiments.scoring.findings import Findings
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options(
        "linebreak", widths=(*range(12, 28),), lengths=(*range(1, 7),), length=64, noise=0.02, rarity=1.0
    )
    network: NetworkConfig = NetworkConfig(layers=3, heads=4)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=8, steps=8000, batch=32, until_learnt=0.9)
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2, n=64, methods=("sgd", "adam"), sgd_rate=0.03, adam_rate=0.0006, doses=(16, 128)
    )
    """The finetuned networks; D' has the narrowest width."""
    documents: int = 600
    """Documents of pretraining on which curves are read and scored."""
    least: int = 50
    """Positions of a column that count for a curve, at least."""
    random: int = 100
    """Random curves and rotations that curves and heads are judged against."""

    def __post_init__(self) -> None:
        super().__post_init__()
        CurvePlan(self.documents, self.least, self.random)


SMALLER = {"network.heads": 2, "documents": 60, "least": 4, "random": 10}
PAGE = {"process.widths": (*range(8, 16),), "process.lengths": (1, 2, 3, 4), "process.length": 32}
PRESETS = {
    "smoke": with_options(Config(), BRIEF | SMALLER | PAGE),
    "small": Config(),
    "full": with_options(
        Config(),
        {"network.width": 64, "pretraining.seeds": 12, "pretraining.until_learnt": 0.95}
        | {"pretraining.steps": 20000, "finetuning.seeds": 4, "documents": 2000},
    ),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and read."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    task = process.task(None, config.repeats, name="narrowest")
    plan = CurvePlan(config.documents, config.least, config.random)
    return config.experiment(process, [Arm(task)], inside=plan)


def findings(run: RunFolder) -> Findings:
    """The answer, a table of every measure, and what the figure shows."""
    from experiments.studies.figures.linebreak_manifold import manifold_findings

    return manifold_findings(run)


def draw(run: RunFolder) -> list[Path]:
    """Curves, heads, substitutions and what finetuning does to them; in other figures the column's use, and
    what writes the newline."""
    from experiments.studies.figures.column_use import draw_use
    from experiments.studies.figures.linebreak_manifold import draw_manifold
    from experiments.studies.figures.newline_code import draw_newline

    return [*draw_manifold(run), *draw_use(run), *draw_newline(run)]
