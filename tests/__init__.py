"""Tests of mxcheck-service."""
