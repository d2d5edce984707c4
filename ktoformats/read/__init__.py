"""Reading: files and rows in memory become blocks of raw records, and a raw record becomes a value."""

from __future__ import annotations
