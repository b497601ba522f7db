"""Every number of every study and process, made bad: a config that runs, or one sentence, at once.

Fields are found, and tried with nan, ∞, -1, 0, 10^9, 2^63, 10^30, nothing and twice.
"""

import collections
import json
import math
import subprocess
import sys
import textwrap
from typing import Any, get_args, get_origin

import pytest

from experiments.design import options as design
from experiments.design.options import with_options
from experiments.design.study import Study
from experiments.discovery import Catalogue
from theory.errors import Misuse

STUDIES = Catalogue().names("studies")
NEVER = {float: (math.nan, math.inf, -math.inf, 1e30), int: (2**63, 10**30, -(10**30))}
BAD = {float: (math.nan, math.inf, -1.0, 0.0, 1e9, 1e30), int: (-1, 0, 10**9, 2**63, 10**30)}


def fields(study, preset="smoke"):
    """Name, type and value of every option."""
    config: Any = Study.find(study).preset(preset)
    kinds = dict(design.kinds(config))
    return [(name, kinds[name], value) for name, value in design.options(config)]


def values(kind, old, bad):
    """Bad values of an option: in place of a number, and in tuples alone, last, and twice."""
    if get_origin(kind) is not tuple:
        yield from bad.get(kind, ())
        return
    inner = get_args(kind)[0]
    yield ()
    if old:
        yield (*old, old[0])
    for value in values(inner, old[0] if old else (), bad):
        yield (value,)
        if old:
            yield (*old[:-1], value)


@pytest.mark.parametrize("study", STUDIES)
def test_numbers_that_are_none_or_endless_are_refused(study):
    """In every field, also where its study or process has no check of its own."""
    config: Any = Study.find(study).preset("smoke")
    tried = 0
    for name, kind, old in fields(study):
        for value in values(kind, old, NEVER):
            if any(number in map(str, NEVER[float] + NEVER[int]) for number in flattened(value)):
                tried += 1
                with pytest.raises(Misuse, match=name.rpartition(".")[2]):
                    with_options(config, {name: value})
    assert tried > 100


def flattened(value):
    """The numbers in nested tuples, as text: nan is not equal to itself."""
    return [part for item in value for part in flattened(item)] if isinstance(value, tuple) else [str(value)]


HUGE = [
    ("weird-generalisation", "process.topics", "topics must be at most 1000000"),
    ("weird-generalisation", "network.width", "The base networks"),
    ("weird-generalisation", "network.layers", "The base networks"),
    ("weird-generalisation", "pretraining.batch", "A pretraining step"),
    ("weird-generalisation", "finetuning.seeds", "The answers to all contexts"),
    ("weird-generalisation", "finetuning.n", "A pass over D'"),
    ("weird-generalisation", "repeats", "repeats must be at most 1000000"),
    ("langevin-vs-sgd", "sampling.chains", "Chains"),
    ("presidents", "process.digits", "digits must be at most 1000000"),
    ("subliminal", "teacher_steps", "The order of a teacher's documents"),
    ("emergent-misalignment", "copies", "Continuations"),
]


@pytest.mark.parametrize(("study", "field", "what"), HUGE)
def test_what_cannot_fit_is_refused_before_it_is_made(study, field, what):
    """With its numbers and the memory at hand."""
    chosen = Study.find(study)
    with pytest.raises(Misuse, match=what) as refused:
        chosen.experiment(with_options(chosen.preset("smoke"), {field: 2 * 10**9}))
    assert "2000000000" in str(refused.value)
    if "must" not in what:
        assert "are at hand; make one of them smaller" in str(refused.value)


def test_what_is_too_much_together_is_refused():
    """No number is large by itself."""
    chosen: Any = Study.find("weird-generalisation")
    many = {"repeats": 10**6, "finetuning.seeds": 100, "finetuning.doses": tuple(range(1, 100))}
    with pytest.raises(
        Misuse, match=r"all contexts \(repeats = 1000000, seeds = 100, doses = 99, .* TB of mem"
    ):
        chosen.experiment(with_options(chosen.preset("small"), many))
    tables = {"process.topics": 10**5, "process.answers": 10**5}
    with pytest.raises(Misuse, match=r"answer tables .* would take 400 GB of memory"):
        chosen.experiment(with_options(chosen.preset("small"), tables))


WHOLE = """
    import json, resource, signal, sys, warnings
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))  # what is allocated after all, fails
    sys.path.insert(0, "tests/experiments/design")
    from test_bad_values import BAD, fields, values, Study, Misuse, with_options
    from experiments.design.study import StudyRun
    from experiments.runs.run import dry_run

    class Late(BaseException):
        pass

    def late(*_):
        raise Late

    signal.signal(signal.SIGALRM, late)
    for line in sys.stdin:
        study, preset = json.loads(line)
        chosen = Study.find(study)
        for name, kind, old in fields(study, preset):
            for value in values(kind, old, BAD):
                try:
                    signal.alarm(10)
                    config = with_options(chosen.preset(preset), {name: value})
                    dry_run(StudyRun.make(chosen, preset, config))
                    end = "runs"
                except Misuse as error:
                    end = "refused" if len(str(error)) > 20 and str(error).endswith(".") else "no sentence"
                except Late:
                    end = "hangs"
                except BaseException as error:
                    end = type(error).__name__
                finally:
                    signal.alarm(0)
                print(json.dumps([study, name, str(value), end]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["smoke", "small"])
def test_every_bad_value_of_every_field_runs_or_is_refused_at_once(preset):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WHOLE)],
        input="".join(f"{json.dumps([study, preset])}\n" for study in STUDIES),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"\n{preset}: {dict(collections.Counter(end for *_, end in ends))} of {len(ends)} bad values")
    assert [end for end in ends if end[-1] not in ("runs", "refused")] == []
    assert len(ends) > 3000 and {study for study, *_ in ends} == set(STUDIES)
