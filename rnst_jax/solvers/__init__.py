"""Outer solvers, and the one loop that drives them."""

from rnst_jax.solvers.drive import Solver, State, drive
from rnst_jax.solvers.rnst import Rnst

__all__ = ["Rnst", "Solver", "State", "drive"]
