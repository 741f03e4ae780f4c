"""Filters: one file is one filter."""
