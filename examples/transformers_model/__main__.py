"""Fill a planned table with a local checkpoint, and score theories on it; nothing is fetched.

finebayes plan-table --topics code --held-out law --personas villain helpful --out plan.csv
python -m examples.transformers_model plan.csv texts.json CHECKPOINT results/my-model
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.tables.importing import import_tables
from theory.errors import Misuse

from .filling import fill, read_plan, write_filled
from .finetuning import Recipe
from .texts import Texts

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Options:
    """A plan, its texts, a folder with a checkpoint and tokenizer, and the folder that gets table and run."""

    plan: tyro.conf.Positional[str]
    texts: tyro.conf.Positional[str]
    checkpoints: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="CHECKPOINT")]]
    """A folder; of several base models NAME=FOLDER,NAME=FOLDER, with the plan's names."""
    out: tyro.conf.Positional[str]
    rate: float = 1e-4
    """The step size of AdamW."""
    rank: int = 8
    """The rank of the method lora; the method full moves all weights."""
    batch: int = 8
    """Documents in a step."""
    together: int = 16
    """Prompts that are scored in a batch."""
    precision: str = "float32"
    """Of the model: float32, bfloat16 or float16."""


def main(options: Options) -> str:
    """Everything, in words."""
    if options.precision not in PRECISIONS:
        raise Misuse(f"precision is one of {', '.join(PRECISIONS)}, got {options.precision!r:.40}.")
    texts, plan = Texts.read(options.texts), read_plan(options.plan)
    recipes = {
        "lora": Recipe(options.rate, options.batch, options.rank),
        "full": Recipe(options.rate, options.batch),
    }
    folders = _folders(options.checkpoints)
    if missing := sorted({row["base"] for row in plan} - {*folders}):
        raise Misuse(f"The plan has base models without a checkpoint: {', '.join(map(repr, missing))}.")
    filled: list[dict[str, object]] = []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for base, folder in folders.items():
        rows = [row for row in plan if row["base"] == base]

        def load(folder: str = folder) -> torch.nn.Module:
            return AutoModelForCausalLM.from_pretrained(
                folder, dtype=PRECISIONS[options.precision], local_files_only=True
            ).to(device)

        print(f"{len(rows)} numbers by {folder}", file=sys.stderr, flush=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        filled += fill(rows, load, tokenizer, texts, recipes, options.together)
    out = Path(options.out)
    table = write_filled(options.plan, out / "table.csv", filled, recipes, options.precision, texts.digest)
    return import_tables([table], str(out / "run"))


def _folders(given: str) -> dict[str, str]:
    """Folders of checkpoints by base model; "" where there is one."""
    if "=" not in given:
        return {"": given}
    return dict(part.split("=", 1) for part in given.split(","))


if __name__ == "__main__":
    try:
        print(main(tyro.cli(Options)))
    except Misuse as error:
        sys.exit(str(error))
