"""The IDX file format, in which MNIST and Fashion-MNIST are published."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from .._arguments import folder


_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> Shaped[np.ndarray, "..."]:
    """Read the array in an IDX file, plain or gzipped (told by content, not by name).

    Raise a `ValueError` that names the file unless it is whole: right first bytes and
    exactly as many more as its shape asks for.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(buffering=0) as file:
    ...     size = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     print(read_idx(file.name))
    [7 2 1]
    """
    path = folder(path)
    content = _unpacked(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        codes = ", ".join(f"{code:02x}" for code in _TYPES)
        raise ValueError(
            f"{path} is no IDX file: it begins with [{content[:4].hex(' ')}], not with "
            f"00 00, a type ({codes}) and a number of dimensions."
        )
    dtype, dimensions = np.dtype(_TYPES[content[2]]), content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(
            f"{path} is cut short: {len(content)} bytes, but a header of {dimensions} "
            f"dimensions alone takes {start}."
        )
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    size = start + math.prod(shape) * dtype.itemsize
    if len(content) != size:
        raise ValueError(
            f"{path} is {'cut short' if len(content) < size else 'too long'}: "
            f"{len(content)} bytes, but its shape {shape} takes {size}."
        )
    try:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more or longer dimensions than NumPy can have
        raise ValueError(f"{path} claims an impossible shape: {error}.") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}.") from error
