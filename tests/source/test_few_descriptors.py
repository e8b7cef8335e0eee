"""With fewer descriptors than files, whatever is written and rotated, all of it is read."""

import asyncio
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.source.logs import Logs, append, compress
from tests.source.running import config_of, running, until

SERIES = 4
MANY_LINES = 300
"""Three blocks and a part of one."""
ACTIONS = ("line", "lines", "half", "end", "rotate", "compress", "touch", "rest")


class Writer:
    """Writes the logs of a node, and remembers each file."""

    def __init__(self, directory: Path) -> None:
        """Begin with no file."""
        self._directory = directory
        self._texts: dict[int, list[str]] = defaultdict(lambda: [""])
        self._written = 0

    @property
    def lines(self) -> list[str]:
        """All that was written, sorted: also what has no newline."""
        return sorted(line for texts in self._texts.values() for t in texts for line in t.split())

    async def do(self, number: int, action: str) -> None:
        """Do something to the live file of a series, or wait."""
        texts, live = self._texts[number], self._directory / f"{number}.log"
        if action == "rest":
            await asyncio.sleep(0.02)
        elif action == "touch":
            live.touch()
        elif action == "compress":
            for rotated in sorted(self._directory.glob(f"{live.name}.*[0-9]"))[:1]:
                compress(rotated)
        elif action != "rotate":
            self._write(number, live, text=self._text(action))
        elif live.exists():
            self._rotate(live, rotated=len(texts) - 1)
            texts.append("")

    def _rotate(self, live: Path, *, rotated: int) -> None:
        for age in range(rotated, 0, -1):
            for end in ("", ".gz"):
                path = live.with_name(f"{live.name}.{age}{end}")
                if path.exists():
                    path.rename(live.with_name(f"{live.name}.{age + 1}{end}"))
        live.rename(live.with_name(f"{live.name}.1"))

    def end(self) -> None:
        """End the lines that live files end in, and begin the files that are not there."""
        for number, texts in self._texts.items():
            if not texts[-1].endswith("\n"):
                self._write(number, self._directory / f"{number}.log", text="\n")

    def _text(self, action: str) -> str:
        self._written += 1
        word = f"{self._written:04}"
        if action == "lines":
            return "".join(f"{word}-{number}\n" for number in range(MANY_LINES))
        return {"line": f"{word}\n", "half": word, "end": "\n"}[action]

    def _write(self, number: int, live: Path, *, text: str) -> None:
        append(live, text.encode())
        self._texts[number][-1] += text


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, SERIES - 1), st.sampled_from(ACTIONS)), max_size=40),
    st.integers(1, 3),
)
def test_all_is_read(actions: list[tuple[int, str]], descriptors: int) -> None:
    """Nothing is closed half read and forgotten, and what waits keeps nothing out for good."""
    with TemporaryDirectory() as root:
        logs = Logs(Path(root))
        writer = Writer(logs.directory)
        config = config_of(logs.state_dir, logs.directory, block_bytes=4_096)

        async def follow() -> None:
            async with running(config, logs.delivered, descriptors=descriptors):
                for number, action in actions:
                    await writer.do(number, action)
                writer.end()
                await until(lambda: delivered(logs) == writer.lines, within_secs=30)

        asyncio.run(follow())
        assert logs.lost().keys() <= {"gaps"}  # several rotations between two looks


def delivered(logs: Logs) -> list[str]:
    """The texts of all documents, sorted, without those of empty lines."""
    return [log for log in logs.delivered.logs if log]
