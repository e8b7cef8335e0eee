"""Reads Markdown pages: tables, fenced blocks, code spans, headings, sections."""

import re
from pathlib import Path


def table(page: Path, first: str) -> list[list[str]]:
    """Return the rows of all tables of a page whose first column has this title."""
    rows: list[list[str]] = []
    inside = False
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not line.startswith("|-"):
            rows.append(cells)
    return rows


def cell(text: str) -> str:
    """Return the text of a cell without the marks of code type."""
    return text.removeprefix("`").removesuffix("`")


def blocks(text: str, *languages: str) -> list[str]:
    """Return the fenced blocks of these languages."""
    fences = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for language, block in fences if language in languages]


def spans(text: str) -> list[str]:
    """Return what stands in code type within lines."""
    return re.findall(r"`([^`\n]+)`", text)


def split_section(page: Path, heading: str) -> tuple[str, str]:
    """Return a section of a page, and the rest of it."""
    text = page.read_text()
    match = re.search(rf"^## {heading}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return (match[0], text.replace(match[0], "")) if match else ("", text)


def headings(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Return the relative links that lead to no file, or to no heading of it."""
    links = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", page.read_text())
    return [link for link in links if not _leads_somewhere(page, link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, fragment = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not fragment or fragment in headings(target))
