"""Outer solvers, and the one loop that drives them."""

from rnst_jax.solvers.admm import PnpAdmm, RedAdmm
from rnst_jax.solvers.anderson import Anderson
from rnst_jax.solvers.base import FixedPoint
from rnst_jax.solvers.best import Best, RedEnergy
from rnst_jax.solvers.drive import Solver, State, drive
from rnst_jax.solvers.fixed_point import RedFixedPoint
from rnst_jax.solvers.gradient import RedGradient
from rnst_jax.solvers.hqs import HalfQuadratic, annealed, complete
from rnst_jax.solvers.nesterov import Nesterov
from rnst_jax.solvers.pgm import PnpProximalGradient, RedProximalGradient, pnp_fista, red_apg
from rnst_jax.solvers.rnst import Rnst

__all__ = [
    "Anderson",
    "Best",
    "FixedPoint",
    "HalfQuadratic",
    "Nesterov",
    "PnpAdmm",
    "PnpProximalGradient",
    "RedAdmm",
    "RedEnergy",
    "RedFixedPoint",
    "RedGradient",
    "RedProximalGradient",
    "Rnst",
    "Solver",
    "State",
    "annealed",
    "complete",
    "drive",
    "pnp_fista",
    "red_apg",
]
