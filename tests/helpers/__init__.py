"""Helpers that tests of several folders import. No test is here."""
