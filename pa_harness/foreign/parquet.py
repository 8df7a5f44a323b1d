"""Parquet files, read in bounded memory: a few kilobytes may stand for gigabytes of one value."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BATCH, _BATCH_BYTES = 65536, 1 << 26  # of one part: the most rows, and bytes as far as is known
AS_ROWS = (20, 1 << 24)  # limits where rows become objects, which take ten times the room


class ParquetFile:
    """A file of the user's, or of somebody's run; open.

    Attributes:
        file: pyarrow's, for what is known of it.
    """

    def __init__(self, path: Path, times: int = 100, spare: int = 1 << 28) -> None:
        """Open it; nothing but its footer is read.

        Args:
            path: of the file.
            times: a table may be so many times larger than its file,
            spare: or so many bytes.

        Raises:
            ValueError: it is no such file.
            OSError: it is not there, or may not be read.
        """
        import pyarrow.parquet as pq

        with _told():
            self.file: Any = pq.ParquetFile(path)
        self._most = max(spare, times * path.stat().st_size)

    def table(self, groups: Sequence[int] | None = None) -> Any:
        """The rows of some row groups, or of all, as a pyarrow table.

        Raises:
            ValueError: a part of the file is broken, or it holds more than an honest one could.
        """
        import pyarrow as pa

        with _told():
            schema = self.file.schema_arrow
            return pa.Table.from_batches(list(self._parts(groups)), schema=schema)

    def _parts(self, groups: Sequence[int] | None) -> Iterator[Any]:
        found, chosen = 0, list(range(self.file.num_row_groups) if groups is None else groups)
        for number in chosen:
            for part in self.file.iter_batches(self._rows_at_once(number), [number]):
                found += part.nbytes
                if found > self._most:
                    raise ValueError(
                        f"it stands for more than {self._most >> 20} MiB, many times its own size"
                    )
                yield part

    def _rows_at_once(self, group: int) -> int:
        """So many that they fit, were each as large as all different ones together."""
        metadata = self.file.metadata.row_group(group)
        columns = [metadata.column(number) for number in range(metadata.num_columns)]
        size = sum(int(c.total_uncompressed_size) for c in columns if c.has_dictionary_page)
        return max(1, min(_BATCH, _BATCH_BYTES // max(size, 1)))


@contextmanager
def _told() -> Iterator[None]:
    """What pyarrow raises, which has no common class but Exception, as one error."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, NotImplementedError, MemoryError, OverflowError) as error:
        raise ValueError(str(error).strip().split("\n", 1)[0] or type(error).__name__) from None
