"""The sweep's options of where to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError

if TYPE_CHECKING:
    from argparse import Namespace

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.cluster import Cluster

_OF_RAY = ("address", "gpus_per_lam", "workers")
OPTIONS = ("executor", *_OF_RAY)  # by their names in a namespace; none can change a number


def add_cluster_options(group: Any) -> None:
    """Add them to a group of a parser."""
    group.add_argument(
        "--executor",
        choices=("local", "ray"),
        default="local",
        help="this process, or the workers of a Ray cluster, several λ at a time",
    )
    group.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster")
    group.add_argument("--gpus_per_lam", type=float, metavar="N", help="of one Ray worker")
    group.add_argument("--workers", type=int, metavar="N", help="the most at one time, under Ray")


def wanted_cluster(settings: SweepSettings, options: Namespace) -> Cluster | None:
    """The cluster that the options ask for; None for this process.

    Raises:
        SweepError: an option that needs another, or makes no sense.
    """
    given = {name: getattr(options, name) for name in _OF_RAY}
    if options.executor == "ray":
        from pa_harness.sweep.cluster import Cluster

        for name in ("gpus_per_lam", "workers"):
            if given[name] is not None and given[name] < (name == "workers"):
                raise SweepError(
                    f"--{name} {given[name]:g} is too few. Leave it out, or give more."
                )
        return Cluster(settings, **given)
    for name, value in given.items():
        if value is not None:
            raise SweepError(f"--{name} {value} is an option of --executor ray. Add that.")
    return None
