"""Figures of a reconstruction."""
