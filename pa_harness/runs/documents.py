"""The values of every document at every λ as one table, and as arrays that are paired by document.

The table has a row per λ, task, metric and document, with the document's cluster
(`tasks.clusters`); of several answers to a document further rows with the number of the answer
(`repeat`, from 0; null in the others). The arrays have one row per λ and one column per document,
so that columns can be resampled together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import RunError, first_line
from pa_harness.storage import write_with

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.runs.samples import DocumentValues


_COLUMNS = {
    **{"lam": "number", "task": "text", "metric": "text"},
    **{"document": "whole number", "value": "number"},
}


@dataclass(frozen=True)
class Paired:
    """One metric of a task: `values[l, d]` of document `ids[d]` at `lams[l]`; no NaN.

    Documents that lack a number at some λ are left out.
    """

    lams: NDArray[np.float64]  # shape (λ,), ascending
    ids: NDArray[np.int64]  # shape (documents,)
    values: NDArray[np.float64]  # shape (λ, documents)
    means: NDArray[np.float64]  # over all documents, shape (λ,); NaN where one lacks a number
    lost: int  # documents that are left out


def write_documents(units: Iterable[tuple[float, str, DocumentValues]], path: Path) -> None:
    """Write the table, atomically: one row group per (λ, task), so that memory holds one.

    A task without numbers by document (a perplexity) has none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            *(("lam", pa.float64()), ("task", texts), ("metric", texts)),
            *(("document", pa.int64()), ("value", pa.float64()), ("cluster", texts)),
            ("repeat", pa.int32()),
        ]
    )

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema) as writer:
            for lam, task, found in units:
                if found.ids and found.values:
                    writer.write_table(pa.table(_columns(lam, task, found), schema=schema))

    write_with(path, write)


def _columns(lam: float, task: str, found: DocumentValues) -> list[Any]:
    """The rows of one (λ, task): metric by metric, and behind them answer by answer."""
    import pyarrow as pa

    blocks: list[tuple[str, int | None, list[float]]]
    blocks = [(key, None, values) for key, values in found.values.items()]
    for key, rows in found.repeats.items():
        blocks += [(key, number, list(each)) for number, each in enumerate(zip(*rows, strict=True))]
    count, keys = len(found.ids), list(dict.fromkeys(key for key, _, _ in blocks))
    codes = np.repeat([keys.index(key) for key, _, _ in blocks], count).astype(np.int32)
    numbers = [number for _, number, _ in blocks for _ in range(count)]
    return [
        pa.array(np.full(len(codes), lam)),
        pa.DictionaryArray.from_arrays(np.zeros(len(codes), dtype=np.int32), pa.array([task])),
        pa.DictionaryArray.from_arrays(codes, pa.array(keys, pa.string())),
        pa.array(np.tile(np.asarray(found.ids, dtype=np.int64), len(blocks))),
        pa.array(np.array([values for _, _, values in blocks], dtype=np.float64).ravel()),
        _clusters(found, len(blocks)),
        pa.array(numbers, pa.int32()),
    ]


def _clusters(found: DocumentValues, times: int) -> Any:
    """The clusters' names for every row of one (λ, task); null where they are not known."""
    import pyarrow as pa

    if not found.clusters:
        return pa.nulls(len(found.ids) * times, pa.dictionary(pa.int32(), pa.string()))
    names, codes = np.unique(found.clusters, return_inverse=True)
    every = np.tile(codes.astype(np.int32), times)
    return pa.DictionaryArray.from_arrays(every, pa.array(names.tolist(), pa.string()))


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, ascending; quick for runs of ascending values, as a table has them."""
    ordered = np.sort(values, kind="stable")
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
    found: NDArray[Any] = ordered[first]
    return found


class Documents:
    """A table that `write_documents` wrote, read one task at a time."""

    def __init__(self, path: Path) -> None:
        """Open the table.

        Raises:
            RunError: it is missing or is not such a table.
        """
        import pyarrow.parquet as pq

        self._path = path
        try:
            self._file = pq.ParquetFile(path)
            self._check_columns()
            self._groups: dict[str, list[int]] = {}
            for number in range(self._file.num_row_groups):
                for task in self._tasks_of(number):
                    self._groups.setdefault(task, []).append(number)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise RunError(
                f"{path} cannot be read: {first_line(error)}. It is written at the end of a sweep."
            ) from None

    def _check_columns(self) -> None:
        """Names and kinds of the columns; what another program has added is not looked at.

        Raises:
            ValueError: one lacks or is of another kind.
        """
        import pyarrow.types as types

        schema = self._file.schema_arrow
        for name, kind in _COLUMNS.items():
            place = schema.get_field_index(name)
            if place < 0:
                raise ValueError(f"it has no column {name}, or several")
            found = schema.field(place).type
            found = found.value_type if types.is_dictionary(found) else found
            fits = {
                "number": types.is_float64(found),
                "whole number": types.is_integer(found),
                "text": types.is_string(found) or types.is_large_string(found),
            }
            texts = kind == "text" and getattr(types, "is_string_view", types.is_string)(found)
            if not (fits[kind] or texts):
                raise ValueError(f"its column {name} holds {found}, not a {kind}")

    def _tasks_of(self, number: int) -> list[str]:
        """The tasks of a row group: one, or several where another program has written the table.

        Its statistics are not asked: a writer may cut long names off there.
        """
        column = self._file.read_row_group(number, columns=["task"]).column("task")
        return [str(task) for task in column.unique().to_pylist()]

    @property
    def tasks(self) -> list[str]:
        """The tasks of the table, in its order."""
        return list(self._groups)

    def clusters(self, task: str) -> dict[int, str]:
        """The cluster of each of the task's documents: what others with that name share with it.

        In their order; one of its own for each where the run kept none.

        Args:
            task: one of `tasks`.
        """
        kept = "cluster" in self._file.schema_arrow.names
        columns = ["document", *(["cluster"] if kept else [])]
        table = self._file.read_row_groups(self._groups.get(task, []), columns=columns)
        ids, first = np.unique(table.column("document").to_numpy(), return_index=True)
        names = table.column("cluster").take(first).to_pylist() if kept else [None] * len(ids)
        return {
            document: f"{task} {document}" if name is None else name
            for document, name in zip(ids.tolist(), names, strict=True)
        }

    def paired(self, task: str) -> dict[str, Paired]:
        """The task's metrics by name.

        Args:
            task: one of `tasks`.
        """
        lam, document, value, (names, codes) = self._rows(task, single=True)
        lams = _distinct(lam)
        found = {}
        for code, name in enumerate(names):
            chosen = codes == code
            ids = _distinct(document[chosen])
            values = np.full((len(lams), len(ids)), np.nan)
            rows = np.searchsorted(lams, lam[chosen])
            columns = np.searchsorted(ids, document[chosen])
            if np.bincount(rows * len(ids) + columns, minlength=1).max() > 1:
                raise RunError(
                    f"{self._path} has more than one {name} of {task} for the same λ and document: "
                    "it is not as a sweep wrote it. Restore it, or delete it together with "
                    "scores.parquet and repeat the sweep's command."
                )
            values[rows, columns] = value[chosen]
            means, whole = values.mean(axis=1), ~np.isnan(values).any(axis=0)
            if not whole.all():
                ids, values = ids[whole], values[:, whole]
            found[name] = Paired(lams, ids, values, means, len(whole) - len(ids))
        return found

    def repeated(self, task: str) -> dict[str, NDArray[np.float64]]:
        """By metric, what each of several answers scored or took: shape (λ, documents, answers).

        λ ascending, documents in their order; {} of a task that was asked once.

        Args:
            task: one of `tasks`.
        """
        lam, document, value, (names, codes) = self._rows(task, single=False)
        lams, ids = _distinct(lam), _distinct(document)
        found = {}
        for code, name in enumerate(names):
            chosen = codes == code
            order = np.lexsort((document[chosen], lam[chosen]))  # stable: answers as they came
            shape = (len(lams), len(ids), -1)
            found[name] = value[chosen][order].reshape(shape)
        return found

    def _rows(
        self, task: str, *, single: bool
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[list[str], NDArray[Any]]]:
        """λ, document, value, and metric (names, and which of them) of a task's rows.

        Args:
            task: one of `tasks`.
            single: rows of documents; else those of each of several answers.
        """
        import pyarrow.compute as pc

        several = "repeat" in self._file.schema_arrow.names
        columns = [*_COLUMNS, *(["repeat"] if several else [])]
        table = self._file.read_row_groups(self._groups.get(task, []), columns=columns)
        wanted = pc.equal(table.column("task").cast("string"), task)
        if several:
            empty = pc.is_null(table.column("repeat"))
            wanted = pc.and_(wanted, empty if single else pc.invert(empty))
        elif not single:
            table, wanted = table.slice(0, 0), wanted.slice(0, 0)
        table = table.drop_columns(["task"]).filter(wanted)
        metrics = table.column("metric").cast("string").combine_chunks().dictionary_encode()
        numbers = (table.column(name).to_numpy() for name in ("lam", "document", "value"))
        return *numbers, (metrics.dictionary.to_pylist(), metrics.indices.to_numpy())
