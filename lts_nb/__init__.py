"""Find the language-model architectures worth training for a device, without training them.

Every public name is `lts_nb.<name>` and stands in one module; it is imported when it is first asked for, so that
`import lts_nb` costs nothing, and opening a result imports no solver.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .evaluation.handover import export as export
    from .frontier.evolution import evolve as evolve
    from .frontier.exact import exact_frontier as exact_frontier
    from .core.workload import Workload as Workload
    from .models.build import build as build
    from .profiler.profile.device_profile import DeviceProfile as DeviceProfile
    from .profiler.targets.registry import get_target as get_target
    from .searches.result import SearchResult as SearchResult
    from .searches.search import search as search
    from .space.architecture import Architecture as Architecture
    from .space.counts import count as count
    from .space.space import SearchSpace as SearchSpace

PUBLIC = {
    "Architecture": "space.architecture",
    "SearchSpace": "space.space",
    "Workload": "core.workload",
    "count": "space.counts",
    "build": "models.build",
    "get_target": "profiler.targets.registry",
    "DeviceProfile": "profiler.profile.device_profile",
    "exact_frontier": "frontier.exact",
    "evolve": "frontier.evolution",
    "search": "searches.search",
    "SearchResult": "searches.result",
    "export": "evaluation.handover",
}
"Public name -> the module that defines it."

__all__ = list(PUBLIC)


if not TYPE_CHECKING:  # a type checker is to find names that are not there

    def __getattr__(name: str):
        "A public name, imported when it is first asked for."
        if name not in PUBLIC:
            raise AttributeError(f"module 'lts_nb' has no attribute {name!r}; it has {', '.join(PUBLIC)}")
        value = getattr(import_module(f"lts_nb.{PUBLIC[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
