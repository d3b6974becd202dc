"""Text columns to integer codes into sorted, cleaned labels: each distinct cell is looked at once."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Array = Any
Cell = TypeVar("Cell", bound=np.generic)
PIECE = 1 << 16  # cells handled at a time, so that the work stays in the processor's cache
FIRST_PLAIN, LAST_PLAIN = 33, 126  # ASCII letters, digits and signs, without the blank


def clean_text(text: str) -> str:
    """The written rule for identifiers and labels: compatibility form, no control characters, trimmed.

    >>> clean_text(" \uff107\u00a0")
    '07'
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if unicodedata.category(c) not in ("Cc", "Cf")).strip()


def text_codes(column: pd.Series[Any], *, lower: bool = False) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes into sorted, cleaned labels; -1 where the cell is blank.

    >>> codes, labels = text_codes(pd.Series(["b", None, " a", "b"]))
    >>> codes.tolist(), labels
    ([1, -1, 0, 1], ('a', 'b'))
    """
    spelt = _spelt(column)
    if spelt is not None:
        codes, labels = spelt
        if not lower or all(label.islower() for label in labels):
            return codes, tuple(labels)
        return _ranked(codes, [label.lower() for label in labels])
    if isinstance(column.dtype, pd.CategoricalDtype):
        cells, uniques = np.asarray(column.cat.codes), column.cat.categories
    else:
        cells, uniques = pd.factorize(column)
    texts = _texts(uniques)
    return _ranked(cells, [text.lower() for text in texts] if lower else texts)


def _ranked(codes: Array, texts: list[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes into texts in any order, rewritten as codes into the sorted distinct ones; "" becomes -1."""
    ranks = np.full(len(texts) + 1, -1, dtype=np.int32)
    sorting = _sorting(texts)
    labels = [texts[i] for i in sorting]
    if len(labels) > len(set(labels)) or "" in labels[:1]:
        labels = sorted(set(texts) - {""})
        position = {"": -1} | {label: i for i, label in enumerate(labels)}
        ranks[:-1] = [position[text] for text in texts]
    else:
        ranks[sorting] = np.arange(len(texts), dtype=np.int32)
    return ranks[codes], tuple(labels)


def _sorting(texts: list[str]) -> NDArray[np.int64]:
    """The permutation that sorts texts; short plain ones as integers, which sort ten times faster."""
    if not texts or max(map(len, texts)) > 8 or not "".join(texts).isascii():
        return np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int64)
    packed = np.array(texts, dtype="S8").view(">u8").astype(np.uint64)
    return np.argsort(packed, kind="stable").astype(np.int64)


def _texts(uniques: Any) -> list[str]:
    """Distinct cells as cleaned text, empty where blank."""
    cells = (
        np.asarray(uniques).tolist() if isinstance(uniques, np.ndarray) else list(np.asarray(uniques, object))
    )
    if pd.api.types.is_integer_dtype(uniques):
        return [str(number) for number in cells]
    if pd.api.types.is_string_dtype(uniques):
        together = "\n".join(cells)
        whole = together.replace("\n", "")
        if whole.isascii() and whole.isprintable() and " " not in whole:
            return list(cells)
    return ["" if cell is None or cell != cell else clean_text(_as_text(cell)) for cell in cells]


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is pd.NA:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _spelt(column: pd.Series[Any]) -> tuple[NDArray[np.int32], list[str]] | None:
    """Codes of Arrow text whose cells are all equally long, by reading their letters as one number.

    Such cells (`P0012345`, or `mg` throughout) need no hashing and no sorting: the number of a cell, place
    by place, is an index into a table of those present, and has the order of the text. None for any other
    column, for text that needs cleaning, and where the table would be larger than what it saves.
    """
    tables = [_letters(chunk) for chunk in _arrow_chunks(column)]
    widths = {None if table is None else table.shape[1] for table in tables}
    if len(widths) != 1 or None in widths:
        return None
    pieces = [
        table[i : i + PIECE] for table in tables if table is not None for i in range(0, len(table), PIECE)
    ]
    low, high = _least_and_greatest(pieces)
    sizes = (high.astype(int) - low + 1).tolist()
    if low.min() < FIRST_PLAIN or high.max() > LAST_PLAIN or math.prod(sizes) > 4 * len(column) + PIECE:
        return None
    if max(sizes) == 1:
        return np.broadcast_to(np.int32(0), len(column)), column.iloc[:1].tolist()
    codes, start = np.empty(len(column), dtype=np.int32), 0
    present = np.zeros(math.prod(sizes), dtype=bool)
    for piece in pieces:
        codes[start : start + len(piece)] = number = _number(piece, low, sizes)
        present[number] = True
        start += len(piece)
    ranks = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return look_up(ranks, codes), _spelling(np.flatnonzero(present), low, sizes)


def _least_and_greatest(pieces: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The least and the greatest letter at every place."""
    # One place per row, so that what is compared lies side by side in memory.
    turned = [(piece.min(axis=1), piece.max(axis=1)) for piece in map(_turned, pieces)]
    low: NDArray[np.uint8] = np.min([least for least, _ in turned], axis=0)
    high: NDArray[np.uint8] = np.max([greatest for _, greatest in turned], axis=0)
    return low, high


def _turned(piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(piece.T)


def _arrow_chunks(column: pd.Series[Any]) -> list[Any]:
    """The Arrow arrays that hold a text column; none where pandas holds it otherwise."""
    kind = column.dtype
    if not isinstance(kind, pd.ArrowDtype) and getattr(kind, "storage", "") != "pyarrow":
        return []
    array: Any = column.array
    held = array.__arrow_array__()
    return [chunk for chunk in getattr(held, "chunks", [held]) if len(chunk)]


def _letters(chunk: Any) -> NDArray[np.uint8] | None:
    """One row of bytes per cell, without copying; None where cells are blank or differ in length."""
    whole = str(chunk.type)
    if chunk.null_count or whole not in ("string", "large_string"):
        return None
    _, ends, letters = chunk.buffers()
    kind = np.int32 if whole == "string" else np.int64
    place: Array = np.frombuffer(ends, dtype=kind)[chunk.offset : chunk.offset + len(chunk) + 1]
    width = int(place[1] - place[0])
    if width == 0 or not bool((place[1:] - place[:-1] == width).all()):
        return None
    return np.frombuffer(letters, dtype=np.uint8)[place[0] : place[-1]].reshape(-1, width)


def _number(piece: Array, low: Array, sizes: list[int]) -> NDArray[np.int32]:
    """Each cell's letters as one number; a place where all cells have the same letter adds nothing."""
    number = np.zeros(len(piece), dtype=np.int32)
    for letters, least, size in zip(_turned(piece), low, sizes, strict=True):
        if size > 1:
            number *= np.int32(size)
            number += letters - least
    return number


def _spelling(numbers: NDArray[np.int64], low: NDArray[np.uint8], sizes: list[int]) -> list[str]:
    """The text that each number was read from."""
    letters = np.empty((len(numbers), len(sizes)), dtype=np.uint32)  # as numpy holds text: four bytes each
    for place in reversed(range(len(sizes))):
        numbers, letters[:, place] = np.divmod(numbers, sizes[place])
    letters += low
    texts: list[str] = letters.view(f"U{len(sizes)}").ravel().tolist()
    return texts


def look_up(table: NDArray[Cell], index: Array) -> NDArray[Cell]:
    """`table[index]` in pieces: a whole index of short integers would first be copied as long ones."""
    if len(table) and table.strides == (0,):  # one value throughout, held once
        return np.broadcast_to(table[0], len(index))
    found = np.empty(len(index), dtype=table.dtype)
    for start in range(0, len(index), PIECE):
        found[start : start + PIECE] = table.take(index[start : start + PIECE])
    return found


def sift(keep: Array, *columns: Array) -> list[Any]:
    """Columns without the rows that are not kept, in pieces: whole masks and indices are slow to apply."""
    found = [np.empty(int(np.count_nonzero(keep)), dtype=column.dtype) for column in columns]
    at = 0
    for start in range(0, len(keep), PIECE):
        rows = np.flatnonzero(keep[start : start + PIECE])
        for column, kept in zip(columns, found, strict=True):
            column[start : start + PIECE].take(rows, out=kept[at : at + len(rows)], mode="clip")
        at += len(rows)
    return found


def labelled(codes: Array, labels: Sequence[str]) -> NDArray[np.object_]:
    """Codes back to their labels; None where the code is -1."""
    return np.array([*labels, None], dtype=object)[codes]


def recode(codes: Array, labels: Sequence[str], into: Sequence[str]) -> NDArray[np.int32]:
    """Codes into one list of labels, rewritten as codes into another that holds them all."""
    position = {label: i for i, label in enumerate(into)}
    lookup = np.array([position[label] for label in labels] + [-1], dtype=np.int32)
    return lookup[codes]
