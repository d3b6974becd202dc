"""Parquet files, written out as the text of a CSV, so that one rule set types every file.

Needs pyarrow, the `[parquet]` extra.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketaoutcomes.intake.findings import Stop
from ketaoutcomes.intake.written import as_csv, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGINS = b"PAR1"
_ROWS_AT_ONCE = 100_000
_HOW = (
    "reading a Parquet file needs an extra: pip install 'ketaoutcomes[parquet]'; or export the table as CSV"
)


def parquet_as_csv(path: Path, decimal: str) -> Iterator[bytes]:
    """The table of a Parquet file as comma-separated UTF-8 text, header first, some rows at a time.

    Raises `Stop` where pyarrow is not installed, where the file is damaged, and where a column holds lists,
    records or bytes, which no cell of a table does.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Stop("A18", _HOW) from None
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            for field in schema:
                if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
                    message = "holds lists, records or bytes; export a table with one value in each cell"
                    raise Stop("A18", message, column=field.name)
            yield as_csv([schema.names])
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                columns = [_texts(column, decimal) for column in batch.columns]
                yield as_csv(zip(*columns, strict=True))
    except (pa.ArrowException, OSError):
        raise Stop("A14", "the Parquet file is cut off or damaged; export it again") from None


def _texts(column: Any, decimal: str) -> list[str]:
    """Every cell as text, blank where missing; each distinct value is written once."""
    import pyarrow as pa

    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    known = [as_text(value, decimal) for value in coded.dictionary.to_pylist()]
    return ["" if code is None else known[code] for code in coded.indices.to_pylist()]
