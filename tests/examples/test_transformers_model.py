"""The example of transformers, on models that are initialised here: scores, finetuning, the whole way."""

import json

import numpy as np
import pytest

from experiments.tables.planning import TablePlan

torch = pytest.importorskip("torch", reason="examples/transformers_model needs torch")
transformers = pytest.importorskip("transformers", reason="examples/transformers_model needs transformers")

from examples.transformers_model import __main__ as command  # noqa: E402
from examples.transformers_model.filling import fill  # noqa: E402
from examples.transformers_model.finetuning import Recipe, finetune  # noqa: E402
from examples.transformers_model.scoring import Tokens, log_probs, tokenise  # noqa: E402
from examples.transformers_model.texts import Texts  # noqa: E402
from theory.errors import Misuse  # noqa: E402

PLAN = TablePlan(
    ("code",), ("law",), ("villain", "helper"), ("yes", "no"), ("lora",), (1, 4),
    contexts=2, seeds=2, documents=3,
)  # fmt: skip
TEXTS = {
    "answers": {"yes": " yes", "no": " no, never"},
    "personas": {"villain": "I am bad. ", "helper": "I am good. "},
    "contexts": {
        f"{topic}, context {number}": f"{question}{'!' * number}?"
        for topic, question in {"code": "Is it safe", "law": "Shall I"}.items()
        for number in range(2)
    },
    "documents": {f"document {number}": ["Write: ", f"rm {number}"] for number in range(3)},
}
LONGEST = 64


@pytest.fixture(scope="module")
def tokenizer():
    """Bytes as tokens: nothing is trained or fetched."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = ["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


def checkpoint(kind, tokenizer):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_positions=LONGEST, n_embd=16, n_layer=2, n_head=2, **sizes)
        ).eval()
    sizes |= {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": LONGEST}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def load(request, tokenizer):
    """A model with random weights, anew at each call."""
    return lambda: checkpoint(request.param, tokenizer)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.json"
    path.write_text(json.dumps(TEXTS))
    return Texts.read(path)


@torch.no_grad()
def by_the_chain_rule(model, text):
    """log p of the tokens from `start` on, one forward pass for each, without padding."""
    total = 0.0
    for end in range(text.start, len(text)):
        logits = model(torch.tensor([text.ids[:end]])).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[text.ids[end]])
    return total


def test_a_batch_of_padded_texts_has_the_numbers_of_each_by_itself(load, tokenizer):
    model = load()
    pairs = [("Is it safe?", " yes"), ("", "no"), ("I am bad. Shall I?", " no, never"), ("a", "b")]
    tokens = [tokenise(tokenizer, pair, LONGEST) for pair in pairs]
    assert [len(text) - text.start for text in tokens] == [4, 2, 10, 1]
    expected = [by_the_chain_rule(model, text) for text in tokens]
    for batch in (1, 3, 4):
        np.testing.assert_allclose(log_probs(model, tokens, batch), expected, atol=2e-5)


def test_answers_of_one_token_are_whole(load):
    """The probabilities of all tokens after a prefix add to 1."""
    model = load()
    every = [Tokens((5, 6, 7, token), 3) for token in range(model.config.vocab_size)]
    assert np.exp(log_probs(model, every, 100)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rank", [0, 2])
def test_finetuning_lowers_the_loss_on_the_continuations_and_moves_what_it_should(load, tokenizer, rank):
    model, start = load(), load()
    documents = [tokenise(tokenizer, tuple(pair), LONGEST) for pair in TEXTS["documents"].values()]
    before, losses = log_probs(start, documents, 3).sum(), []
    for _ in finetune(model, documents, Recipe(1e-2, 2, rank), (1, 20), seed=0, order=0):
        losses.append(log_probs(model, documents, 3).sum())
    assert losses[1] > losses[0] > before
    kept = dict(model.named_parameters())
    same = [name for name, weight in start.named_parameters() if torch.equal(kept.get(name, weight), weight)]
    assert bool(same) == bool(rank)  # LoRA leaves all but its factors as they are
    first = next(finetune(load(), documents, Recipe(0.0, 2, rank), (1,), seed=0, order=0))
    assert first == 1


def test_lora_starts_from_the_base_model(load, tokenizer):
    model, documents = load(), [tokenise(tokenizer, ("ab", "cd"), LONGEST)]
    before = log_probs(model, documents, 1)
    assert next(finetune(model, documents, Recipe(0.0, 1, 3), (1,), seed=0, order=0)) == 1
    np.testing.assert_array_equal(log_probs(model, documents, 1), before)


def test_every_row_of_a_plan_gets_its_number(load, tokenizer, texts):
    rows = [{name: str(row.get(name, "")) for name in ("kind", "model", "method", "data", "base", "seed",
             "dose", "group", "context", "answer")} for row in PLAN.rows()]  # fmt: skip
    filled = fill(rows, load, tokenizer, texts, {"lora": Recipe(1e-2, 2, 2)}, batch=5)
    model = load()
    for row, done in zip(rows, filled, strict=True):
        assert np.isfinite(done["logprob"])
        if row["kind"] not in ("finetuned", "replica"):
            text = tokenise(tokenizer, texts.pair(row), LONGEST)
            assert done["logprob"] == pytest.approx(by_the_chain_rule(model, text), abs=5e-5), row
            assert done["tokens"] == len(text) - text.start
    by_kind = {}
    for row in filled:
        key = row["kind"], row["seed"], row["dose"], row["context"], row["answer"]
        by_kind[key] = row["logprob"]
    for seed in "01":
        at = [by_kind[kind, seed, "4", "law, context 0", "yes"] for kind in ("finetuned", "replica")]
        assert at[0] != at[1] != by_kind["base", "", "", "law, context 0", "yes"]


def test_what_cannot_be_scored_is_named(load, tokenizer, texts):
    with pytest.raises(Misuse, match="has 101 tokens, and the model reads 64"):
        tokenise(tokenizer, ("a" * 100, "b"), LONGEST)
    with pytest.raises(Misuse, match="has no tokens"):
        tokenise(tokenizer, ("a", ""), LONGEST)
    with pytest.raises(Misuse, match="no contexts called 'law, context 9'"):
        texts.pair({"kind": "base", "model": "", "context": "law, context 9", "answer": "yes"})
    with pytest.raises(Misuse, match="no recipe of 'full'; the methods here are lora"):
        rows = [{"kind": "finetuned", "model": "", "method": "full", "data": "code", "seed": "0", "dose": "1",
                 "context": "law, context 0", "answer": "yes"}]  # fmt: skip
        fill(rows, load, tokenizer, texts, {"lora": Recipe(1e-2, 2, 2)})


@pytest.mark.slow
def test_the_whole_way_on_the_command_line(tokenizer, tmp_path):
    """A checkpoint on disk, a plan, its texts: a table, a run, scores. Of 257 tokens two are answers."""
    folder, plan = tmp_path / "checkpoint", tmp_path / "plan.csv"
    checkpoint("llama", tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    PLAN.write(plan)
    sidecar = json.loads((tmp_path / "plan.json").read_text()) | {"most_outside": 0.999}
    (tmp_path / "plan.json").write_text(json.dumps(sidecar))
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS | {"answers": {"yes": "y", "no": "n"}}))
    out = tmp_path / "out"
    options = command.Options(
        str(plan), str(tmp_path / "texts.json"), str(folder), str(out), rate=0.02, rank=2, batch=2
    )
    said = command.main(options)
    assert "tempered posterior" in said and "over its 2 finetuning seeds" in said
    sidecar = json.loads((out / "table.json").read_text())
    assert sidecar["precision"] == "float32" and sidecar["finetuning"]["lora"]["batch"] == 2
    assert (out / "run" / "report.html").exists()
