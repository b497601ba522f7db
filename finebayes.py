"""finebayes: a Bayesian finetuning theory testbed. `import finebayes as fb` is the public API.

fb.pretrain, fb.finetune, fb.compare                  networks, and the scores of theories on them, in memory
fb.probe                                              a direction for an event that is described in words
fb.run, fb.load                                       a study's folder, with the bytes of the command line
fb.load_table                                         the scores of a real model, from log-probabilities
fb.sweep, fb.load_sweep                               a folder of runs along fields of a study's config
fb.processes, fb.theories, fb.methods, fb.samplers    everything that `finebayes list` shows, by class name
"""

from experiments.api import Finetuned, Pretrained, compare, finetune, pretrain
from experiments.discovery import Namespace
from experiments.probing import ProbeResult, probe
from experiments.reports.scores import Scores, Table
from experiments.runs.study_result import StudyResult, load, run
from experiments.runs.sweep_result import SweepResult, load_sweep, sweep
from experiments.tables.importing import load_table
from theory.base import Dataset, Distribution, Parametric, Predictor
from theory.contracts import Process, Task, Theory, WeightTheory
from theory.errors import Misuse

processes = Namespace("processes")
theories = Namespace("theories")
methods = Namespace("methods")
samplers = Namespace("samplers")

__all__ = [
    "Dataset",
    "Distribution",
    "Finetuned",
    "Misuse",
    "Parametric",
    "Predictor",
    "Pretrained",
    "ProbeResult",
    "Process",
    "Scores",
    "StudyResult",
    "SweepResult",
    "Table",
    "Task",
    "Theory",
    "WeightTheory",
    "compare",
    "finetune",
    "load",
    "load_sweep",
    "load_table",
    "methods",
    "pretrain",
    "probe",
    "processes",
    "run",
    "samplers",
    "sweep",
    "theories",
]
