"""What the commands that read runs print."""

import json

from experiments.commands.reading import _print_json


def test_a_list_is_printed_record_by_record(capsys):
    for records in ([], [{"a": None}], [{"a": 1.5, "b": "x\ny"}, {"c": [1, 2]}]):
        _print_json(iter(records))
        assert capsys.readouterr().out == json.dumps(records, indent=1) + "\n"
