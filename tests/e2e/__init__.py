"""Tests against real components."""
