"""Fixtures of all tests that look at a page."""

from feature_pages import browser, opened, report

__all__ = ["browser", "opened", "report"]
