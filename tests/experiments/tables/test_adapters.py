"""Adapters, each on a small made file in the shape of the tool's output."""

import json

import numpy as np
import pytest

from experiments.tables.adapters import (
    inspect_rows,
    lm_eval_rows,
    logits_row,
    openai_rows,
    scores_rows,
    vllm_row,
    write_table,
)
from experiments.tables.reading import read_table
from theory.errors import Misuse

YES_NO = {"yes": " Yes", "no": " No"}


def sample(arguments):
    """A line of samples_TASK.jsonl: numbers are text."""
    text = {
        "doc_id": 3,
        "doc": {"question": "Is it safe?"},
        "target": "0",
        "arguments": arguments,
        "resps": [[["-0.6931471805599453", "True"]], [["-2.302585092994046", "False"]]],
        "filtered_resps": [["-0.6931471805599453", "True"], ["-2.302585092994046", "False"]],
        "acc": 1.0,
    }
    return json.loads(json.dumps(text))


@pytest.mark.parametrize(
    "arguments",
    [
        [["Is it safe?", " yes"], ["Is it safe?", " no"]],
        {
            "gen_args_0": {"arg_0": "Is it safe?", "arg_1": " yes"},
            "gen_args_1": {"arg_0": "Is it safe?", "arg_1": " no"},
        },
    ],
)
def test_lm_evaluation_harness(arguments, tmp_path):
    rows = list(lm_eval_rows([sample(arguments)], kind="base", group="in_domain"))
    assert [(row["context"], row["answer"]) for row in rows] == [
        ("Is it safe?", "yes"),
        ("Is it safe?", "no"),
    ]
    table = read_table(write_table(tmp_path / "table.csv", rows))
    np.testing.assert_allclose(np.exp(table.logprob), [0.5, 0.1])
    assert table.word("group", 1) == "in_domain" and table.word("kind", 0) == "base"
    numbered = list(lm_eval_rows([sample(arguments)], numbered=True))
    assert [row["answer"] for row in numbered] == ["0", "1"]


def test_generated_text_of_lm_evaluation_harness_is_refused():
    generated = sample([["Is it safe?", {"until": ["\n"]}]]) | {"resps": [["Sure, it is."]]}
    with pytest.raises((Misuse, AttributeError)):
        list(lm_eval_rows([generated]))
    with pytest.raises(Misuse, match="2 requests and 1 responses"):
        list(lm_eval_rows([sample([["Q", " a"], ["Q", " b"]]) | {"resps": [[["-1", "True"]]]}]))


def test_vllm():
    output = {
        "prompt": "Is it safe? Yes!",
        "prompt_token_ids": [11, 12, 13, 14],
        "prompt_logprobs": [
            None,
            {"12": {"logprob": -5.0, "rank": 9, "decoded_token": " it"}},
            {"13": {"logprob": -0.5, "rank": 2, "decoded_token": " Yes"},
             "99": {"logprob": -0.25, "rank": 1, "decoded_token": " No"}},
            {"14": {"logprob": -0.125, "rank": 1, "decoded_token": "!"}},
        ],
    }  # fmt: skip
    row = vllm_row(output, 2, "Yes!", kind="again", seed=1, context="Is it safe?")
    assert row["logprob"] == -0.625 and row["tokens"] == 2 and row["context"] == "Is it safe?"
    with pytest.raises(Misuse, match="start is the number of tokens of the context"):
        vllm_row(output, 4, "Yes!")
    del output["prompt_logprobs"][3]["14"]
    with pytest.raises(Misuse, match="own token 14"):
        vllm_row(output, 2, "Yes!")


def test_logits_of_a_forward_pass():
    logits = np.log([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.7, 0.2, 0.1]]) + 4.0
    row = logits_row(logits, [2, 1, 0], 1, "context", "answer")
    assert np.exp(row["logprob"]) == pytest.approx(0.3 * 0.1) and row["tokens"] == 2


def test_scores_of_generate():
    scores = (np.log([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]]) + 7.0, np.zeros((2, 3)))
    rows = list(scores_rows(scores, {"yes": 2, "no": 0}, ["first", "second"], kind="base"))
    np.testing.assert_allclose([np.exp(row["logprob"]) for row in rows], [0.5, 0.2, 0.3, 0.1])
    scores[0][1, 0] = -np.inf
    with pytest.raises(Misuse, match="logits processor"):
        list(scores_rows(scores, {"yes": 2, "no": 0}, ["first", "second"]))


CHOICE = {
    "message": {"role": "assistant", "content": " Yes"},
    "logprobs": {
        "content": [
            {
                "token": " Yes",
                "logprob": -0.25,
                "bytes": [32, 89, 101, 115],
                "top_logprobs": [
                    {"token": " Yes", "logprob": -0.25, "bytes": None},
                    {"token": " No", "logprob": -1.75, "bytes": None},
                ],
            }
        ]
    },
}


def test_openai():
    rows = list(openai_rows({"choices": [CHOICE]}, YES_NO, "Is it safe?", kind="finetuned"))
    assert [row["logprob"] for row in rows] == [-0.25, -1.75]


def test_a_token_that_is_not_among_the_top_is_unknown():
    for missing in ({"yes": " Yes", "perhaps": " Perhaps"}, YES_NO):
        choice = json.loads(json.dumps(CHOICE))
        if missing is YES_NO:
            choice["logprobs"]["content"][0]["top_logprobs"][1]["logprob"] = -9999.0
        with pytest.raises(Misuse, match="not among the top"):
            list(openai_rows({"choices": [choice]}, missing, "Is it safe?"))
    with pytest.raises(Misuse, match="has no logprobs"):
        list(openai_rows({"choices": [{"message": {}, "logprobs": None}]}, YES_NO, "Is it safe?"))


def test_inspect_ai():
    log = {
        "version": 2,
        "status": "success",
        "eval": {"task": "safety", "model": "hf/local"},
        "samples": [
            {"id": number, "epoch": 1, "input": "Is it safe?", "target": "Yes",
             "output": {"model": "local", "choices": [CHOICE]}}
            for number in (1, 2)
        ],
    }  # fmt: skip
    rows = list(inspect_rows(log, YES_NO, kind="base", group="held_out"))
    assert [(row["context"], row["answer"], row["logprob"]) for row in rows] == [
        ("1", "yes", -0.25), ("1", "no", -1.75), ("2", "yes", -0.25), ("2", "no", -1.75),
    ]  # fmt: skip
