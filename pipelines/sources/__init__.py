"""Where the tables come from: folders of CSV or Parquet, SQLite, DuckDB and PostgreSQL, behind one reader."""

from pipelines.sources.reader import OpenSource, RawSource, open_source, read_source

__all__ = ["OpenSource", "RawSource", "open_source", "read_source"]
