"""Where the time goes: one run over a corpus under cProfile.

cProfile sees the main thread only, and its own cost weighs on code that makes many small calls: it
tells where to look, not how much there is to win. (The compression, which runs inside one C call
per block, is shown as it is.)
"""

import pstats
import sys
from pathlib import Path

from benchmarks.corpus import LineFormat, write_corpus
from benchmarks.trial import REPOSITORY, Agent, running

_TOP = 25
_LIMIT_SECS = 600


def profile(
    agent_args: str, workdir: Path, *, lines: int, files: int, line_format: LineFormat
) -> None:
    """Print the functions of ``shipper`` that take most time themselves."""
    directory = workdir / "profiled"
    corpus = write_corpus(directory, lines=lines, files=files, line_format=line_format)
    stats_file = workdir / "shipper.prof"
    command = f"{sys.executable} -m cProfile -o {stats_file} -m shipper {agent_args}"
    with running(Agent("profiled", command, cwd=REPOSITORY), corpus.directory) as trial:
        trial.wait_for(corpus.lines, limit_secs=_LIMIT_SECS)
        trial.drain()
    pstats.Stats(str(stats_file)).sort_stats("tottime").print_stats(_TOP)
