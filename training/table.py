"""A file's table: separator, decimal comma and encoding found by themselves, columns by their names."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agent.errors import DataError

Column = NDArray[np.float64]


def read_table(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """The file with at least the wanted columns. Raises DataError with the names that do exist when one is missing."""
    try:
        table = pd.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else _read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the data: {error}", where=str(path), fix="give a readable CSV or Parquet file"
        ) from error
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    if wanted[0] not in table.columns and table.index.name == wanted[0]:
        table = table.reset_index()
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        near = difflib.get_close_matches(missing[0], list(table.columns), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DataError(
            f"no column {', '.join(missing)}",
            where=str(path),
            fix=f"name one of: {', '.join(table.columns)}{hint}",
        )
    twice = [name for name in wanted if isinstance(table[name], pd.DataFrame)]
    if twice:
        raise DataError(f"column {twice[0]} is there twice", where=str(path), fix="rename one of the two")
    if not len(table):
        raise DataError("the file has no rows", where=str(path), fix="export a longer span")
    return table


def numeric(column: "pd.Series[float]") -> Column:
    """The column as numbers, NaN where there is none; a text column as the rank of its values."""
    numbers = _read_numbers(column)
    if not np.isnan(numbers).all():
        return numbers
    codes = pd.Categorical(column).codes.astype(np.float64)
    return np.asarray(np.where(codes < 0, np.nan, codes), dtype=np.float64)


def is_numbers(column: "pd.Series[float]") -> bool:
    """False for a column of text; an empty one counts as numbers that are all missing."""
    return bool(np.isfinite(_read_numbers(column)).any() or column.isna().all())


def _read_numbers(column: "pd.Series[float]") -> Column:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    as_number = pd.to_numeric(column, errors="coerce")
    text = column.dropna().astype(str).str.strip()
    if as_number.notna().sum() < 0.5 * len(text):
        with_comma = text.str.fullmatch(r"[+-]?\d+(?:\.\d{3})*,\d+")
        with_unit = text.str.fullmatch(r"[+-]?\d+(?:\.\d+)?\s*[A-Za-z%°/³²]+[\w/³²]*")
        if with_comma.mean() > 0.3:
            plain = column.astype(str).str.strip().str.replace(".", "", regex=False)
            as_number = pd.to_numeric(plain.str.replace(",", ".", regex=False), errors="coerce")
        elif with_unit.mean() > 0.5:
            as_number = pd.to_numeric(
                column.astype(str).str.extract(r"^\s*([+-]?[\d.]+)")[0], errors="coerce"
            )
    return np.asarray(as_number.to_numpy(dtype=np.float64))


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", errors="replace") as source:
        header = next((line for line in source if line.strip()), "")
    separator = max((",", ";", "\t", "|"), key=header.count)
    return pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        encoding_errors="replace",
        skipinitialspace=True,
        na_values=["-", "--", "?", "nan", "NaN", "null", "None", "Bad", "No Data"],
        low_memory=False,
    )
