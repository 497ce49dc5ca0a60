"""Where the tables come from: folders of CSV or Parquet, SQLite, DuckDB and PostgreSQL, behind one reader."""

from pipelines.sources.reader import RawSource, read_source

__all__ = ["RawSource", "read_source"]
