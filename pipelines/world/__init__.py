"""The sample world: a simulated centre with known truth, pretending to be the outside world.

Nobody in it exists. ``build_world`` makes it, ``write_world`` writes the tables a centre would hand over, and
``World.true_p`` answers what is true, for tests and benchmarks only.
"""

from pipelines.world.files import is_sample, write_world
from pipelines.world.sizes import KINDS
from pipelines.world.world import DEFAULT_END, World, build_world

__all__ = ["DEFAULT_END", "KINDS", "World", "build_world", "is_sample", "write_world"]
