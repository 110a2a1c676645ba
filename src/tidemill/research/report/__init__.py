"""A run as a report: one HTML file that needs no network, or its tables as JSON, CSV and Parquet."""

from __future__ import annotations

from tidemill.research.report.bundle import csv, json, parquet
from tidemill.research.report.page import POLICY, html

__all__ = ["POLICY", "csv", "html", "json", "parquet"]
