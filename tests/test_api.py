"""The Python API: what a notebook does in a few lines, its mistakes, and a study's bytes."""

import io
import json
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import jax
import numpy as np
import pytest

import finebayes as fb
from experiments.reports.arviz_export import to_arviz
from experiments.reports.scores import Scores, as_frame
from experiments.runs.progress import Notebook, relay
from experiments.scoring.labels import LAST_DOSE, NULLS
from experiments.storage.contents import PosteriorCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Ladder
from experiments.studies.data.tasks import OPENINGS
from theory.contracts import kebab_case, name_of
from theory.latent.documents import listed

PROCESS = fb.processes.PersonaTopics(personas=3, topics=4, pairs=3)
TINY = {
    "process": {"personas": 3, "topics": 4, "pairs": 3},
    "network": {"width": 8, "layers": 1, "heads": 2},
    "pretraining": {"steps": 20, "batch": 8, "seeds": 1},
    "finetuning": {"doses": (1, 4), "n": 8, "batch": 4, "seeds": 2, "methods": ("sgd",)},
    "theories": ("tempered-posterior", "linearised"),
    "persona": 2,
}
QUIET = {"progress": False}


class DoubleCounting(fb.Theory[fb.Distribution]):
    """A theory as one writes it in a notebook."""

    def __init__(self, count=2.0):
        self.count = count

    def predict(self, prior: fb.Distribution, data: fb.Dataset, beta, *, key=None):
        """Each document counts `count` times."""
        return prior.condition(data, self.count * beta)


@pytest.fixture(scope="module")
def network():
    return fb.pretrain(PROCESS, width=8, layers=1, heads=2, steps=20, batch=8, **QUIET)


def test_a_session_in_double_precision_gets_the_same_networks(network):
    jax.config.update("jax_enable_x64", True)
    try:
        process = fb.processes.PersonaTopics(personas=3, topics=4, pairs=3)
        process.distribution()
        again = fb.pretrain(process, width=8, layers=1, heads=2, steps=20, batch=8, **QUIET)
        assert again.predict([[0, 4, 1]]).dtype == np.float32
    finally:
        jax.config.update("jax_enable_x64", False)
    assert again.quality == network.quality
    for ours, theirs in zip(*map(jax.tree.leaves, (network.networks, again.networks)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def tuned(network):
    task = PROCESS.task(persona=2, topics=[0], repeats=2, openings=min(OPENINGS, PROCESS.pairs))
    return fb.finetune(network, task, fb.methods.Sgd(0.008), n=8, batch=4, doses=[1, 4], seeds=2, **QUIET)


@pytest.fixture(scope="module")
def result(tuned):
    theories = [fb.theories.TemperedPosterior(), DoubleCounting(), "linearised"]
    return fb.compare(tuned, theories, measures=True, **QUIET)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study by the API."""
    return fb.run(
        "weird-generalisation", "smoke", out=tmp_path_factory.mktemp("api") / "run", **TINY, **QUIET
    )


def test_a_network_knows_its_distance_from_the_exact_predictor(network):
    assert network.learnt == 1 - network.quality.mean / network.quality.uninformed < 1
    before = network.quality.learnt_by_position
    assert (
        len(before) == PROCESS.length and np.isnan(before[:3]).all() and before[3] < 1
    )  # topic, answer, topic
    predicted = network.predict([[0, 4, 1]])
    assert predicted.shape == (1, 3, PROCESS.vocabulary)
    np.testing.assert_allclose(np.exp(predicted).sum(-1), 1, rtol=1e-5)
    assert "1 network of" in repr(network) and "learnt" in repr(network)


def test_streams_are_read_and_edited(network, tuned):
    """One document patched into another, in the base network and in the finetuned one."""
    ours, theirs = [[0, 4, 1, 5]], [[0, 6, 1, 4]]
    for source, which in ((network, {"index": 0}), (tuned, {"dose": 4, "base": 0})):
        streams = [source.streams(document, **which) for document in (ours, theirs)]
        assert streams[0].shape == (1, 2, 4, 8)
        shift = np.zeros((PROCESS.length, 8))
        shift[:4] = (streams[1] - streams[0])[0, 1]
        patched = source.edited(1, shift, **which).predict(np.array(ours))
        wanted = source.network(**which).predict(np.array(theirs))
        np.testing.assert_allclose(patched, wanted, atol=1e-5)


def test_a_finetuned_network_is_that_of_the_first_seed(network, tuned):
    questions = tuned.executor.data.questions(tuned.experiment.arms[0])
    for index, dose in enumerate((1, 4)):
        answers = tuned.executor.answers.base(
            tuned.network("sgd", "topics0", 0, dose), tuned.executor.answers.padded(questions.tokens)
        )
        np.testing.assert_allclose(questions.at(answers), tuned.log_probs()[0, index], atol=1e-5)
    assert "unembed" in tuned.network().params and tuned.process is network.process


def test_networks_are_kept_only_where_a_folder_is_given(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = {"width": 8, "layers": 1, "heads": 2, "steps": 20, "batch": 8}
    fb.pretrain(PROCESS, **sizes, **QUIET)
    assert not list(tmp_path.iterdir())
    kept = fb.pretrain(PROCESS, **sizes, folder=tmp_path / "networks", **QUIET)
    assert len(list((tmp_path / "networks").glob("*.safetensors"))) == 1
    np.testing.assert_array_equal(kept.predict([[0, 4]]), network.predict([[0, 4]]))
    assert kept.quality == network.quality


def test_answers_of_finetuned_networks_are_tidy(tuned):
    records = tuned.records()
    assert list(records[0]) == ["method", "task", "dose", "group", "question", "answer", "probability"]
    assert {record["dose"] for record in records} == {0, 1, 4}
    sums = {}
    for record in records:
        key = record["dose"], record["group"], record["question"]
        sums[key] = sums.get(key, 0) + record["probability"]
    np.testing.assert_allclose(list(sums.values()), 1, rtol=1e-5)
    assert tuned.log_probs().shape[:2] == (2, 2)
    assert "sgd on topics0" in repr(tuned)


def test_theories_are_scored_by_instance_and_by_name(result):
    names = {
        "tempered-posterior",
        "tempered-posterior-by-rate",
        "double-counting",
        "linearised",
        *NULLS,
        LAST_DOSE,
    }
    assert {line.theory for line in result.lines} == names
    # at β it predicts what the other does at 2 β, so the best fits are as good
    fits = [line for line in result.lines if (line.grade, line.prior, line.dose) == ("fitted", "process", 4)]
    nats = {line.theory: line.nats for line in fits if line.group == "in_domain"}
    assert nats["double-counting"] == pytest.approx(nats["tempered-posterior"], rel=0.1)
    assert "double-counting" in repr(result)


def test_scores_are_a_table_records_and_figures(result):
    text = str(result.table())
    assert "order-blind bound" in text and "On held_out contexts" in text
    assert "There are no intervals, as one base network does not say how far others are from it" in text
    assert "In_domain" not in text and "On in_domain" in str(result.table("in_domain"))
    assert result._repr_html_().startswith('<div class="scroll"><table')
    records = result.records()
    assert len(records) == len(result.lines) and json.dumps(records)
    assert {"dose", "theory", "explained", "interval_low", "best_null", "order_blind"} <= set(records[0])
    for figure in (result.plot(), result.figure()):
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_measures_are_known_at_every_dose_where_they_are_asked_for(result, tuned):
    table = result.measures()
    lines = table if isinstance(table, list) else table.to_dict("records")
    assert [line["dose"] for line in lines] == [1, 4]
    assert all(line["kappa"] > 0 and -1 <= line["transfer"] <= 1 for line in lines)
    assert {"common_share", "evidence", "mixture_share", "relative_step"} <= lines[0].keys()
    assert not len(Scores(tuned.run).measures())


def test_a_frame_is_of_pandas_where_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert as_frame([{"a": 1}]) == [{"a": 1}]
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=tuple))
    assert as_frame([{"a": 1}]) == ({"a": 1},)


def test_a_theory_is_named_by_its_class():
    assert name_of(DoubleCounting()) == name_of(DoubleCounting) == "double-counting"
    assert [kebab_case(name) for name in ("AdamGibbs", "MyNTK", "SGD", "Half_life")] == [
        *("adam-gibbs", "my-ntk", "sgd", "half-life")
    ]


def test_instances_of_one_class_need_names(tuned):
    with pytest.raises(fb.Misuse, match=r"double-counting twice; give a dict, \{name: theory\}"):
        fb.compare(tuned, [DoubleCounting(), DoubleCounting(3.0)], **QUIET)
    scores = fb.compare(tuned, {"twice": DoubleCounting(), "thrice": DoubleCounting(3.0)}, **QUIET)
    assert {line.theory for line in scores.lines} == {"twice", "thrice", *NULLS, LAST_DOSE}


@pytest.mark.slow
def test_the_numbers_are_those_of_a_study(tuned, result, study):
    """One path: a study of the same numbers, on the command line, finds the same scores."""
    theirs = {(row.theory, row.dose, row.prior, row.grade, row.group): row for row in study.rows}
    shared = [row for row in result.rows if row.theory != "double-counting"]
    assert len(shared) == len(theirs)
    for row in shared:
        other = theirs[row.theory, row.dose, row.prior, row.grade, row.group]
        np.testing.assert_allclose(row.shift, other.shift, rtol=2e-2, atol=1e-7)


@pytest.mark.slow
def test_a_study_has_the_bytes_of_the_command_line(study, tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "run", "weird-generalisation", "--preset", "smoke"]
    for section, values in TINY.items():
        options = values.items() if isinstance(values, dict) else [("", values)]
        for name, value in options:
            words = value if isinstance(value, tuple) else (value,)
            command += [f"--{section}{'.' * bool(name)}{name}", *map(str, words)]
    subprocess.run([*command, "--out", str(tmp_path / "run")], check=True, capture_output=True)
    files = sorted(path.relative_to(study.folder) for path in study.folder.glob("cells/*.npz"))
    assert len(files) == 3
    for file in [*files, "rows.jsonl", "config.json"]:
        assert (study.folder / file).read_bytes() == (tmp_path / "run" / file).read_bytes(), file


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: fb.pretrain(3), "A process is needed, like processes.PersonaTopics"),
        (
            lambda: fb.pretrain(fb.processes.PersonaTopics),
            r"got the class PersonaTopics; write PersonaTopics",
        ),
        (lambda: fb.pretrain(PROCESS, seeds=0), "seeds must be an integer from 1 on, got 0"),
        (lambda: fb.pretrain(PROCESS, seeds=True), "seeds must be an integer from 1 on, got True"),
        (lambda: fb.pretrain(PROCESS, steps=1.5), "steps must be an integer from 1 on, got 1.5"),
        (lambda: fb.pretrain(PROCESS, rate="fast"), "rate must be a number above 0 and finite, got 'fast'"),
        (lambda: fb.pretrain(PROCESS, until_learnt=2), "until_learnt must be above 0 and below 1, got 2"),
        (lambda: fb.pretrain(PROCESS, targets="words"), "targets must be 'exact' or 'tokens', got 'words'"),
        (lambda: fb.pretrain(PROCESS, seed=-1), "seed must be an integer from 0 to 2000000, got -1"),
        (lambda: fb.pretrain(PROCESS, seed=10**5000), "seed must be .* got a number of about 5000 digits"),
        (
            lambda: fb.run("weird-generalisation", finetuning={"doses": [1, 10**5000]}),
            "finetuning.doses must be at most 2147483647 in size, got a number of about 5000 digits",
        ),
        (lambda: fb.pretrain(PROCESS, folder=3), "folder must be the path of a folder, got 3"),
        (lambda: fb.pretrain(PROCESS, width=9), "heads must divide width"),
        (lambda: fb.run("weird-generalization"), "did you mean weird-generalisation"),
        (lambda: fb.run("weird-generalisation", "smal"), "did you mean small"),
        (lambda: fb.run("weird-generalisation", pretrainin={"steps": 1}), "did you mean pretraining.steps"),
        (lambda: fb.run("weird-generalisation", theories=(DoubleCounting(),)), "to fb.compare"),
        (lambda: fb.run("weird-generalisation", 3), "There is no preset called 3"),
        (lambda: fb.run("weird-generalisation", files="my.py"), r"files must be a list, got 'my.py'"),
        (lambda: fb.load(None), "A folder is needed"),
        (lambda: fb.load("no-such-folder"), "There is no folder"),
        (lambda: listed(topics=0), r"topics must be a list, got 0; write topics=\[0\]"),
        (lambda: PROCESS.task(persona=7), "persona must be from 0 to 2, got 7"),
    ],
)
def test_a_mistake_is_one_sentence(call, sentence):
    with pytest.raises(fb.Misuse, match=sentence):
        call()


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="did you mean Linearised"):
        fb.theories.Linearized  # noqa: B018
    assert "PersonaTopics" in dir(fb.processes) and "Adam" in repr(fb.methods)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"task": PROCESS}, "A task is needed, like process.task"),
        ({"task": []}, "needs a task and a list of doses"),
        ({"task": fb.processes.PersonaTopics().task()}, "contexts of the task topics0 must be documents"),
        ({"method": fb.methods.Adam}, "got the class Adam"),
        ({"method": "adam"}, "A method is needed, like methods.Adam"),
        ({"method": [fb.methods.Adam(), fb.methods.Adam(0.1)]}, "adam twice; give a dict"),
        ({"method": []}, "At least one method is needed, like methods.Adam"),
        ({"method": {1.5: fb.methods.Adam(), "a--b": fb.methods.Adam()}}, "'a--b' cannot name a file"),
        ({"doses": 4}, "a list of doses"),
        ({"doses": None}, "a list of doses"),
        ({"doses": [1.5, 2]}, r"numbers of steps from 1, got \[1.5, 2\]"),
        ({"seed": "a"}, "seed must be an integer from 0"),
        ({"batch": 9}, "batch must be from 1 to n = 8, got 9"),
        ({"seeds": 0}, "seeds must be an integer from 1 on"),
    ],
)
def test_a_mistake_in_finetuning_is_one_sentence(network, changes, sentence):
    task = changes.pop("task", PROCESS.task())
    method = changes.pop("method", fb.methods.Adam())
    with pytest.raises(fb.Misuse, match=sentence):
        fb.finetune(
            network, task, method, **{"n": 8, "batch": 4, "doses": [1], "seeds": 2} | changes, **QUIET
        )


@pytest.mark.parametrize(
    "theories, sentence",
    [
        ([PROCESS], "A theory is needed, like theories.TemperedPosterior"),
        (DoubleCounting, "got the class DoubleCounting"),
        ("linearized", "did you mean linearised"),
        ("langevin-posterior", "is sampled, and there is no temperature"),
        ({"a/b": DoubleCounting()}, "cannot name a file"),
    ],
)
def test_a_mistake_in_comparing_is_one_sentence(tuned, theories, sentence):
    with pytest.raises(fb.Misuse, match=sentence):
        fb.compare(tuned, theories, **QUIET)


@pytest.mark.parametrize("tokens", [[[0] * 7], [[9]], [[0.5]], [0, 1], [[-1]], [[0], [0, 1]]])
def test_documents_that_a_network_cannot_read_are_refused(network, tokens):
    with pytest.raises(fb.Misuse, match="tokens must be documents"):
        network.predict(tokens)


@pytest.mark.parametrize(
    ("theory", "prior", "sentence"),
    [
        (fb.theories.TemperedPosterior(), PROCESS, r"like process.distribution\(\), got"),
        (fb.theories.ExchangeableMixture(), PROCESS, r"needs a prior that predicts, like process.dist"),
        (fb.theories.Proximal(), PROCESS.distribution(), r"like pretrained.network\(\), got Mixture"),
        (fb.theories.GeometricPath(), PROCESS, "GeometricPath needs a prior that predicts"),
    ],
)
def test_a_prior_that_does_not_predict_is_refused(theory, prior, sentence):
    data = PROCESS.task().data(jax.random.key(0), 4)
    with pytest.raises(fb.Misuse, match=sentence):
        theory.predict(prior, data, 0.5)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda network, tuned: network.streams([[99]]), "tokens must be documents"),
        (lambda network, tuned: network.streams([[0]], index=1), "base networks, from 0 on; got 1"),
        (lambda network, tuned: network.edited(2, np.ones(8)), "depth must be from 0, .* to 1, .* got 2"),
        (lambda network, tuned: network.edited(1, np.ones(9)), r"d = 8, got \(9,\)"),
        (lambda network, tuned: tuned.streams([[0]], dose=2), "There are the doses 1, 4; got 2"),
        (lambda network, tuned: tuned.network(task="none"), "There are the methods sgd, .* 'none'"),
    ],
)
def test_a_mistake_in_looking_inside_is_one_sentence(network, tuned, call, sentence):
    with pytest.raises(fb.Misuse, match=sentence):
        call(network, tuned)


def test_networks_and_tokens_in_place_of_one_and_of_data_are_refused(network):
    with pytest.raises(fb.Misuse, match=r"like pretrained.network\(\), got Pretrained"):
        fb.theories.Proximal().predict(network, PROCESS.task().data(jax.random.key(0), 4), 0.5)
    tokens = np.zeros((2, PROCESS.length), int)
    with pytest.raises(fb.Misuse, match=r"needs a Dataset, like task.data\(key, n\), got ndarray"):
        fb.theories.TemperedPosterior().predict(PROCESS.distribution(), tokens, 0.5)
    with pytest.raises(fb.Misuse, match="Documents of 99 tokens are too long: the network reads"):
        network.network().predict(np.zeros((1, 99), int))
    with pytest.raises(fb.Misuse, match="workers must be an integer from 1 on, got 'a'"):
        fb.run("weird-generalisation", "smoke", workers="a")


def test_a_theory_without_a_recipe_says_so(network):
    data = PROCESS.task().data(jax.random.key(0), 4)
    with pytest.raises(fb.Misuse, match=r"Linearised\(\) has no recipe to predict by"):
        fb.theories.Linearised().predict(network.network(), data, 0.1)


def test_a_notebook_shows_progress_in_one_line(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    display = ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda line, display_id: shown.append(line) or handle
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    progress = Notebook(quiet_seconds=0.0)
    with progress.cells(2, 0) as advance:
        advance("a<b", "")
        advance("second", "[too] long")
    assert len(shown) == 3 and "a&lt;b" in shown[0] and "cells 2/2" in shown[1]
    assert "second failed" in shown[2]


def test_the_closing_sentence_of_a_command_is_its_mistake():
    lines = io.StringIO("   0.1 s  cells 1/2  [a]\nfinebayes: It is wrong; mend it.\nExit\n")
    assert relay(lines, False) == "It is wrong; mend it."
    assert relay(io.StringIO("Traceback\nKeyError: 3\n"), False) == "KeyError: 3"


@pytest.fixture
def sampled():
    """A run with one ladder of two posteriors, of two and of four chains."""
    samples = np.random.default_rng(0).normal(size=(1, 2, 4, 10, 3)).astype(np.float32)
    samples[0, 0, 2:] = np.nan
    ladder = Ladder(
        "langevin-posterior",
        "T=0.001",
        np.array([0.0, 0.1]),
        np.zeros((1, 2, 1, 4)),
        problems=np.array([["", "R-hat is 1.2."]]),
        times=np.array([0.0, 0.09]),
        extra={"samples": samples, "chains": np.array([[2, 4]])},
    )
    return MemoryRun("made-up", (1,)).with_content(Cell("posteriors", "topics0", 0), PosteriorCell((ladder,)))


def test_samples_need_arviz(sampled, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(fb.Misuse, match=r"pip install 'finebayes\[export\]'"):
        to_arviz(sampled)


def test_arviz_opens_the_samples(sampled):
    arviz = pytest.importorskip("arviz")
    opened = to_arviz(sampled)
    assert len(opened) == 2
    data = opened["langevin-posterior, T=0.001, tau=0.09, topics0, base 0, seed 0"]["posterior"]
    assert data["log_prob"].dims == ("chain", "draw", "observable") and data["log_prob"].shape == (4, 10, 3)
    assert data.attrs["problems"] == "R-hat is 1.2." and data["log_prob"].dtype == np.float32
    first = next(iter(opened.values()))
    assert first["posterior"].sizes["chain"] == 2
    assert len(arviz.summary(first)) == 3
    with pytest.raises(fb.Misuse, match="did you mean langevin-posterior"):
        to_arviz(sampled, "langevin")
