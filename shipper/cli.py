"""The command line: reads arguments, makes a configuration, calls what does the work.

Exit status: 0 done, 1 failure, 2 usage or configuration, 3 state that needs an operator.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shipper import __version__
from shipper.errors import ShipperError

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[  # noqa: SLF001  # it has no public name
        argparse.ArgumentParser
    ]

_INTERRUPTED = 130

_EPILOG = """\
examples:
  shipper run ./logs                                  follow a directory into the local store
  shipper search 'error namespace:shop'               look into the local store
  shipper run ./logs --output http://127.0.0.1:9200   the same into Elasticsearch
  shipper run app.log --output stdout --once          print a file's documents and stop
  shipper run --config /etc/shipper/shipper.yaml      run as an agent

exit status: 0 done, 1 failure, 2 usage or configuration, 3 state that needs an operator
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.command(options))
        sys.stdout.flush()
        return status
    except ShipperError as error:
        return _fail(error)
    except BaseExceptionGroup as group:
        fault, rest = group.split(ShipperError)
        if fault is None or rest is not None:
            raise
        return _fail(_leaf(fault))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        _abandon_stdout()
        return 0


def _fail(error: ShipperError) -> int:
    print(f"shipper: {error}", file=sys.stderr)
    _abandon_stdout()
    return error.exit_status


def _abandon_stdout() -> None:
    """Keep Python from writing what is left at its end: the reader may be gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shipper",
        description="Follow log files and index their lines into Elasticsearch, each exactly once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"shipper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_check(commands)
    _add_status(commands)
    _add_health(commands)
    _add_search(commands)
    _add_deadletters(commands)
    return parser


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser("run", help="follow log files and ship them")
    run.set_defaults(command=_run)
    add = run.add_argument
    add("paths", nargs="*", metavar="PATH", help="file, glob or directory (all *.log below it)")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (YAML); PATH replaces its sources",
    )
    add("--output", metavar="URL|local|stdout", help="where documents go (default: local)")
    add("--state-dir", type=Path, metavar="DIR", help="where positions and buffer are kept")
    add("--once", action="store_true", help="read everything to its end, deliver it, and exit")
    add("--from-beginning", action="store_true", help="forget what was read, read it again")
    add(
        "--move-buffer",
        action="store_true",
        help="deliver documents that were buffered for another output to this one",
    )
    add("--listen", metavar="ADDRESS:PORT|off", help="metrics and health (default 127.0.0.1:9880)")
    add("--log-level", choices=("debug", "info", "warning", "error"))
    add("--log-format", choices=("auto", "json", "plain"))


def _add_check(commands: _Commands) -> None:
    check = commands.add_parser("check", help="validate a configuration and print it in effect")
    check.set_defaults(command=_check)
    check.add_argument("--config", type=Path, required=True, metavar="FILE")


def _add_status(commands: _Commands) -> None:
    status = commands.add_parser("status", help="ask the running agent how it does")
    status.set_defaults(command=_status)
    status.add_argument("--files", action="store_true", help="one row for each open file")
    status.add_argument("--json", action="store_true", help="all that it says, as JSON")
    _add_whose(status)


def _add_health(commands: _Commands) -> None:
    health = commands.add_parser("health", help="ask whoever listens there whether it is alive")
    health.set_defaults(command=_health)
    _add_whose(health)


def _add_whose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="whose: its configuration")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="whose: its state directory")
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help="where it listens")


def _add_search(commands: _Commands) -> None:
    search = commands.add_parser("search", help="look into the local store")
    search.set_defaults(command=_search)
    search.add_argument("query", nargs="*", help='words, field:value, -word, "a phrase"')
    search.add_argument("--limit", type=int, default=50, help="newest documents to show (50)")
    search.add_argument("--since", help="only younger ones: 10m, 2h, 3d or an RFC 3339 time")
    search.add_argument("--json", action="store_true", help="documents as JSON lines")
    search.add_argument("--store", type=Path, help="the store's file")


def _add_deadletters(commands: _Commands) -> None:
    letters = commands.add_parser("deadletters", help="look at documents that were refused")
    actions = letters.add_subparsers(required=True, metavar="ACTION")
    ls = actions.add_parser("ls", help="list them with the server's reasons")
    ls.set_defaults(command=_list_letters)
    show = actions.add_parser("show", help="print one, document and reason")
    show.set_defaults(command=_show_letter)
    show.add_argument("number", type=int)
    for action in (ls, show):
        action.add_argument("--config", type=Path, metavar="FILE")
        action.add_argument("--state-dir", type=Path, metavar="DIR")


def _run(options: argparse.Namespace) -> int:
    # Imported here: `search` and `check` need none of it, and it costs 0.3 s.
    from shipper import app
    from shipper.ops import logs, terminal
    from shipper.ops.process import keep_freed_memory, raise_descriptor_limit
    from shipper.overrides import config_of

    config = config_of(options)
    raise_descriptor_limit()
    keep_freed_memory()
    ad_hoc = options.config is None
    run_options = app.Options(
        once=options.once,
        from_beginning=options.from_beginning,
        move_buffer=options.move_buffer,
        any_port=ad_hoc and options.listen is None,
        wait_for_lock=not ad_hoc and not options.once,
    )
    names = {"local": "the local store", "elasticsearch": config.output.elasticsearch.url}
    destination = names.get(config.output.type, "standard output")
    quiet = config.output.type == "stdout" and sys.stdout.isatty()
    started = time.monotonic()
    with terminal.view(destination, once=options.once, quiet=quiet) as view:
        logs.set_up(config.logging)  # inside, so that log lines go above what is drawn
        done = asyncio.run(app.run(config, run_options, view=view))
    if options.once:
        print(terminal.summary(done, time.monotonic() - started), file=sys.stderr)
    return 1 if done.unread else 0


def _check(options: argparse.Namespace) -> int:
    import yaml

    from shipper.config import load

    config = load(options.config)
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), end="")
    return 0


def _status(options: argparse.Namespace) -> int:
    from shipper.config import load
    from shipper.ops import ask
    from shipper.ops.page import show
    from shipper.ops.status import encode

    config = load(options.config) if options.config else None
    url = ask.find(config, options.state_dir, listen=options.listen)
    named = options.state_dir or (config.state_dir if config else None)
    status = ask.ask(url, state_dir=None if options.listen else named)
    if options.json:
        print(encode(status).decode())
    else:
        show(status, files=options.files)
    return 0


def _health(options: argparse.Namespace) -> int:
    from shipper.config import load
    from shipper.ops import ask

    config = load(options.config) if options.config else None
    url = ask.find(config, options.state_dir, listen=options.listen)
    print(ask.alive(url), end="")
    return 0


def _search(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from shipper.overrides import default_store
    from shipper.sink.local import search
    from shipper.sink.query import format_hit, json_of, parse, parse_since

    store = options.store or default_store()
    query = parse(" ".join(options.query))
    since = parse_since(options.since, datetime.now(UTC)) if options.since else ""
    hits = search(store, query, limit=options.limit, since=since)
    for hit in hits:
        line = json_of(hit).decode() if options.json else format_hit(hit, query, color=_colored())
        print(line)
    if not hits:
        print(f"nothing found in {store}", file=sys.stderr)
    return 0


def _list_letters(options: argparse.Namespace) -> int:
    from shipper.ops.letters import letter_line
    from shipper.sink.deadletter import list_letters

    for letter in list_letters(_dead_db(options)):
        print(letter_line(letter))
    return 0


def _show_letter(options: argparse.Namespace) -> int:
    from shipper.ops.letters import letter_page
    from shipper.sink.deadletter import read_letter

    print(letter_page(read_letter(_dead_db(options), options.number)))
    return 0


def _dead_db(options: argparse.Namespace) -> Path:
    from shipper.overrides import state_dir_of

    return state_dir_of(options) / "dead.db"


def _colored() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _leaf(group: BaseException) -> ShipperError:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, ShipperError)  # noqa: S101  # split() has left nothing else
    return group
