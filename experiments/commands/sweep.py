"""The command `sweep`: runs of a study along axes; their states, figures and scores."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.commands.parsing import COMMANDS, parse, say
from experiments.commands.run import defaults, parsers
from experiments.commands.work import crew_of, waiting, workers_of
from experiments.design.axes import MOST_RUNS, Sweep, make_axes, parse_axes, refuse_settled
from experiments.design.config import StudyConfig
from experiments.design.old_names import refuse_old_names
from experiments.design.study import Study, StudyRun
from experiments.design.words import take
from experiments.discovery import Catalogue
from experiments.storage.sweep_folder import find_sweep
from theory.errors import Misuse

HELP = f"""usage: finebayes sweep STUDY --over FIELD=VALUE,VALUE [--over ...] [--one-at-a-time] [options]
       finebayes sweep FOLDER [--plot COLUMN] [--by FIELD [FIELD]] [--theory ...] [--dose ...]
       finebayes sweep FOLDER --law
       finebayes sweep FOLDER --laws-of OTHER

{COMMANDS["sweep"]}

Every combination of values is an ordinary run, in a folder of its own inside the sweep's; runs that describe
the same base networks share them. With --one-at-a-time each field alone leaves the values that the study and
the options give, the centre. The same command goes on where it was stopped: what is finished is not run
again, what failed is tried again. A run of a sweep has its cells, rows and scores, but no pictures:
finebayes plot FOLDER/RUN and finebayes report FOLDER/RUN make those of one, and --figures those of all.

  finebayes sweep weird-generalisation --preset smoke --over style=0.5,1,2 --over width=24,48 --dry-run
  finebayes sweep weird-generalisation --over finetuning.n=16,32,64 --over rarity=0.3,0.5 --one-at-a-time
  finebayes sweep results/sweeps/weird-generalisation/HASH --plot explained --by process.style

A field has the name that finebayes run STUDY --help shows, or its last part where no other field has it. The
entries of a value that is a list are joined by +, as in --over finetuning.methods=sgd,sgd+adam; lists in a
list by /. A study may declare axes of its own, which are taken one at a time where there is no --over.

A column is any number of the scorecard (explained, over_null, shift, nats, beta ...), learnt, or a curve of
the study's own figures by its name in their tables, as in --plot "broad, written". One field draws lines with
intervals of 95 %, two draw a heat map. scores.csv in the sweep's folder has every line of every scorecard,
with the values of the fields as columns. Runs that failed or are missing are gaps.

--law asks which one or two of the measures known before finetuning order the scores of each theory, over the
points of a finished sweep whose study has them (when-bayesian). On half of the points a law is proposed and
sealed in laws.json, on the other half it is scored, beside its rivals. --laws-of OTHER scores the laws that
are sealed in the folder of another sweep, on the points here that it does not have.

finebayes sweep STUDY --help shows every option of a study, finebayes sweep FOLDER --help those of drawing."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FOLDER")]]
    """The folder that `finebayes sweep` printed."""
    plot: str = ""
    """The column of the scorecard to draw, like explained, shift or learnt, or a curve of the study's own
    figures (none: say how far runs are)."""
    law: bool = False
    """Propose, seal and score laws of the scores in measures known before finetuning."""
    laws_of: str = ""
    """The folder of another sweep, whose sealed laws are scored on the points that it does not have."""
    by: tuple[str, ...] = ()
    """One axis, for lines, or two, for a heat map (default: all where there are two at most; of a sweep of
    one axis at a time, each in a figure of its own)."""
    theory: tuple[str, ...] = ()
    """Theories to draw (default: linearised, tempered-posterior and exchangeable-mixture, where they are)."""
    method: tuple[str, ...] = ()
    """Ways of finetuning to draw (default: all, a panel each)."""
    data: tuple[str, ...] = ()
    """D' to draw, by the name of its arm, like topics0 (default: all, a panel each)."""
    group: str = ""
    """Group of contexts (default: held_out, or the first that theories are judged on)."""
    dose: str = "last"
    """Dose: last, first, or a number of steps."""


def sweep(arguments: list[str]) -> None:
    """Run a sweep, or read one that there is."""
    folder, words = take(arguments, "config")
    if not words or words[0] in ("-h", "--help"):
        print(HELP)
        return
    if folder is None and _is_read(words):
        _read(words)
        return
    if folder is not None and take(words, "preset")[0]:
        raise Misuse("--config is a run's study, preset and options; change options beside it, nothing else.")
    if folder is None and words[0].startswith("-"):
        raise Misuse(f"Name the study first, then options: finebayes sweep STUDY {words[0]} ...")
    given = None if words[0].startswith("-") else words.pop(0)
    study, preset, config = defaults(given, folder, words)
    _run(study, preset, config, words)


def _is_read(words: list[str]) -> bool:
    """Whether the words are of a sweep that there is: it is drawn, or a folder is named and no study."""
    named = not words[0].startswith("-")
    is_study = words[0].endswith(".py") or words[0] in Catalogue().names("studies")
    return (named and not is_study and Path(words[0]).is_dir()) or any(
        word.partition("=")[0] in ("--plot", "--law", "--laws-of") for word in words
    )


def _read(words: list[str]) -> None:
    options = parse(Drawn, "sweep FOLDER", words, lists=True)
    from experiments.reports.sweep import scores_with, summary
    from experiments.scoring.sweep_panels import Choice
    from experiments.scoring.sweep_table import write_scores

    made = find_sweep(options.folder)
    if options.law and options.laws_of:
        raise Misuse("--law proposes laws here, --laws-of takes those of another sweep; give one of them.")
    if options.law or options.laws_of:
        from experiments.reports.laws import sweep_laws, write_laws

        laws = sweep_laws(made, find_sweep(options.laws_of) if options.laws_of else None)
        print(laws, *write_laws(made, laws), sep="\n")
        return
    if not options.plot:
        print(summary(made))
        return
    from experiments.figures.sweep import draw_sweep

    choice = Choice(
        options.plot,
        options.theory,
        options.method,
        options.data,
        options.group.replace("-", "_"),
        options.dose,
    )
    scores = scores_with(made, options.plot)
    paths = [*draw_sweep(made, scores, choice, options.by), write_scores(made, scores)]
    for note in scores.notes():
        say(note)
    print(*paths, sep="\n")


def _run(study: Study, preset: str, config: StudyConfig, words: list[str]) -> None:
    parser = _parser(study, preset, config)
    refuse_old_names(words, config)
    with study.reading_options():
        options = parse(parser, f"sweep {study.name}", words, parser(config))
    workers = workers_of(options)
    centre = StudyRun.make(study, options.preset, options.config)
    declared = {} if options.over else study.axes(options.config)
    axes = make_axes(declared, options.config) if declared else parse_axes(options.over, options.config)
    one_at_a_time = options.one_at_a_time or bool(declared)
    if not one_at_a_time:
        refuse_settled(axes, [word[2:].partition("=")[0].replace("-", "_") for word in words])
    made = Sweep(centre, axes, one_at_a_time)
    if made.size > MOST_RUNS and not options.yes:
        raise Misuse(f"These are {made.size} runs; say --yes if all of them are meant, or give fewer values.")
    from experiments.runs.environment import prepare_devices

    prepare_devices(only_cpu=workers is not None)
    from experiments.reports.sweep import summary
    from experiments.runs import sweep as sweeps

    folder, networks = sweeps.sweep_places(made, options.out, options.networks)
    if options.dry_run:
        print(sweeps.dry_run(made, folder, networks))
        return
    settings = sweeps.Settings(networks, options.again, options.strict, options.figures)
    if workers is None:
        finished = sweeps.run_sweep(made, folder, settings)
    else:
        from experiments.runs.with_workers import sweep_with_workers

        finished = sweep_with_workers(made, crew_of(workers, options.slurm), folder, settings)
    print(summary(finished) if workers != 0 else waiting(folder, options.figures))
    sweeps.refuse_failed(finished)


def _parser(study: Study, preset: str, config: StudyConfig) -> Any:
    """The options of a sweep: those of a run, and its axes."""
    of_runs = parsers(study, preset, config)["run"]

    @dataclasses.dataclass(frozen=True)
    class Options(of_runs):
        over: Annotated[
            tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FIELD=VALUE,...")
        ] = ()
        """An axis, once for each: a field and its values (default: the axes that the study declares)."""
        one_at_a_time: bool = False
        """Vary each axis alone, about the values that the other options give, the centre."""
        out: str = ""
        """The sweep's folder (default: results/sweeps/STUDY/HASH, one for each sweep)."""
        yes: bool = False
        """Run more than a thousand runs without being asked."""
        figures: bool = False
        """Draw the figures of every run, and write its report (default: finebayes plot and finebayes report
        make those of a run when they are wanted)."""

    Options.__doc__ = COMMANDS["sweep"]
    return Options
