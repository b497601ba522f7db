"""Score theories on textgenrnn: python -m examples.real_model FILES OUT, FILES the folder of its weights."""

import sys
from pathlib import Path

from examples.real_model.experiment import write
from examples.real_model.lstm import load
from experiments.tables.importing import import_tables

if __name__ == "__main__":
    files, out = map(Path, sys.argv[1:])
    network, characters = load(files)
    print(f"{network.size} weights; the table takes about a minute", file=sys.stderr, flush=True)
    print(import_tables([write(network, characters, out)], str(out / "run")))
