"""Arrays come back as they were written for what they were written for, or are refused in a sentence."""

import io
import struct
import zipfile

import numpy as np
import pytest

from experiments.storage.archive import digest_arrays, read_arrays, write_arrays
from theory.errors import Misuse

ARRAYS = {
    "a": np.arange(600.0).reshape(2, 300),
    "part/names": np.array(["x", "", "long"]),
    "nothing": np.zeros((0, 3)),
    "one": np.array("word"),
    "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


@pytest.fixture
def path(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS, "run cell")
    return tmp_path / "a.npz"


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def encrypted():
    """A zip whose members claim to be encrypted."""
    data = bytearray(npz(a_npy=npy(np.arange(3))))
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + offset] |= 1
    return bytes(data)


def huge():
    """An array whose header claims 8 TB."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return npz(a_npy=b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80))


def bomb():
    """A zip whose directory claims 1 TB for a member."""
    data = bytearray(npz(a_npy=npy(np.arange(3))))
    start = data.index(b"PK\x01\x02") + 24
    data[start : start + 4] = struct.pack("<I", 2**32 - 2)
    return bytes(data)


DAMAGED = {
    "nothing": (b"", "not a zip file"),
    "text": (b"nonsense", "not a zip file"),
    "one array": (npy(np.arange(3)), "not a zip file"),
    "an empty zip": (npz(), "of an unknown run"),
    "an encrypted zip": (encrypted(), "encrypted"),
    "text in a zip": (npz(a_npy=npy(np.arange(3)), notes_txt="mine"), "'notes.txt', which is no array"),
    "text for an array": (npz(a_npy="mine"), "magic"),
    "a huge header": (huge(), r"claims float64 of shape \(1000000000000,\), which it has not"),
    "a huge member": (bomb(), "claims 4294967294 bytes"),
    "objects": (npz(a_npy=npy(np.array([{}, None]))), "claims object"),
    "another's arrays": (npz(a_npy=npy(np.arange(3))), "of an unknown run, not of run cell"),
}


def test_arrays_come_back_read_only(path):
    arrays = read_arrays(path, "run cell")
    assert arrays.keys() == ARRAYS.keys() and digest_arrays(arrays) == digest_arrays(ARRAYS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype and not array.flags.writeable


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_no_archive_is_refused(path, damage):
    content, sentence = DAMAGED[damage]
    path.write_bytes(content)
    with pytest.raises(Misuse, match=sentence):
        read_arrays(path, "run cell")


def test_what_was_made_for_something_else_is_refused(path):
    with pytest.raises(Misuse, match="it is of run cell, not of run other"):
        read_arrays(path, "run other")


EDITS = {
    "shape": lambda arrays: arrays | {"a": arrays["a"].ravel()},
    "type": lambda arrays: arrays | {"a": arrays["a"].astype(np.float32)},
    "value": lambda arrays: arrays | {"a": arrays["a"] + 1},
    "missing": lambda arrays: {name: array for name, array in arrays.items() if name != "a"},
    "added": lambda arrays: arrays | {"b": np.zeros(2)},
    "exchanged": lambda arrays: arrays | {"a": arrays["turned"], "turned": arrays["a"]},
}


@pytest.mark.parametrize("edit", EDITS)
def test_arrays_that_were_changed_are_refused(path, edit):
    with np.load(path) as file:
        arrays = EDITS[edit]({name: file[name] for name in file.files})
    np.savez(path, **arrays)
    with pytest.raises(Misuse, match="its arrays were changed after they were written"):
        read_arrays(path, "run cell")


def test_a_flipped_bit_is_noticed_or_changes_nothing(path):
    """All over the file: what the checksums let through must not matter."""
    whole, noticed = path.read_bytes(), 0
    flipped = range(0, len(whole), 5)
    for index in flipped:
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1 << index % 8]) + whole[index + 1 :])
        try:
            arrays = read_arrays(path, "run cell")
        except Misuse:
            noticed += 1
        else:
            assert digest_arrays(arrays) == digest_arrays(ARRAYS), index
    assert noticed > 0.6 * len(flipped)
