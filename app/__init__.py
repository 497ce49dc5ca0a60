"""The analysts' page and the HTTP interface for dialers: people and machines asking over HTTP.

Every request reads the newest complete run's folder with DuckDB; nothing here plans or learns. Asset files are shipped,
no page loads anything from outside.
"""
