"""Attempts in, one row per attempt or customer × slot out: contracts, calendar, history and rates, all pure."""
