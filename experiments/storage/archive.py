"""Arrays on disk: an .npz file without pickles that says what it is of, and whether it was changed. No jax.

Beside the arrays stands `made_of`: what the file was made for, in words, and the digest of all arrays, which
also notices arrays that were added, removed or put in place of others. Nothing that a damaged header claims
is allocated before it is checked.
"""

import functools
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.storage.files import check_regular, write
from experiments.storage.records import Arrays, Cell
from theory.errors import Misuse

MARK = "made_of"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DAMAGE = (  # what zipfile and numpy raise; RuntimeError where it is encrypted, or compressed in another way
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    EOFError,
    OverflowError,
    SyntaxError,
    RuntimeError,
)
RATIO = 1100  # no bytes are compressed more than 1032 times


class DamagedCell(Misuse):
    """A finished cell whose file cannot be read."""

    def __init__(self, sentence: str, cell: Cell):
        super().__init__(sentence)
        self.cell = cell


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    whole = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{name} {array.dtype.str} {arrays[name].shape} ".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], made_of: str, once: bool = False) -> None:
    """Write arrays made for `made_of`, whole or not at all; with `once`, unless there is such a file."""
    mark = np.array(f"{made_of} {digest_arrays(arrays)}")
    write(path, lambda file: np.savez_compressed(file, allow_pickle=False, **{MARK: mark}, **arrays), once)


def read_arrays(path: Path, made_of: str) -> Arrays:
    """The inverse; raises `Misuse` with what is wrong, in words, for anything else than was written."""
    check_regular(path)
    try:
        arrays = _unpack(io.BytesIO(path.read_bytes()))
    except DAMAGE as error:
        raise Misuse(str(error)) from error
    made, _, digest = str(arrays.pop(MARK, "")).rpartition(" ")
    if made != made_of:
        raise Misuse(f"it is {f'of {made}' if made else 'of an unknown run'}, not of {made_of}")
    if digest != digest_arrays(arrays):
        raise Misuse("its arrays were changed after they were written")
    return arrays


def is_whole(path: Path) -> bool:
    """Whether a file of arrays ends as it should; one that was cut short does not. Nothing else is read."""
    return zipfile.is_zipfile(path)


def _unpack(file: io.BytesIO) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for member in members:
            if not member.filename.endswith(".npy"):
                raise Misuse(f"it holds {member.filename!r:.60}, which is no array")
            if member.file_size > RATIO * member.compress_size + RATIO:
                raise Misuse(f"{member.filename!r:.60} claims {member.file_size} bytes")
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, read only; what its header claims is compared with what is there before it is allocated."""
    data = archive.read(member)  # to its end, where the checksum is compared
    width = 2 if data[6:7] == b"\x01" else 4  # of the length of a header, by its version
    end = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    header = _header(data[:end])
    if header is None:
        raise Misuse(f"{member.filename!r:.60} has an array header of another version")
    shape, by_column, kind = header
    if len(data) - end != math.prod(shape) * kind.itemsize:
        raise Misuse(f"{member.filename!r:.60} claims {kind} of shape {shape}, which it has not")
    if kind.hasobject:
        raise Misuse(f"{member.filename!r:.60} holds objects, not numbers or text")
    array = np.ndarray(shape, kind, data, end, order="F" if by_column else "C").copy("K")
    array.flags.writeable = False
    return array


@functools.lru_cache(maxsize=4096)  # the arrays of all cells have few shapes, and headers are slow to read
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """Shape, order and type of an array; None for a version of the format that is never written."""
    file = io.BytesIO(head)
    read = HEADERS.get(np.lib.format.read_magic(file))
    return None if read is None else read(file)
