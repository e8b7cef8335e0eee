"""The SQL of the local store: the tables of an index, and the statements over them. Pure text.

An index is its number here, `{n}`; nothing else is put into a statement, all else is a parameter.
"""

from __future__ import annotations

INDICES = """
CREATE TABLE IF NOT EXISTS indices (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    day TEXT NOT NULL, written TEXT NOT NULL)
"""
CREATE = (
    """
CREATE TABLE origins_{n} (
    number INTEGER PRIMARY KEY, suffix BLOB NOT NULL, stream TEXT NOT NULL,
    namespace TEXT NOT NULL, pod TEXT NOT NULL, container TEXT NOT NULL, tag TEXT NOT NULL,
    UNIQUE (stream, suffix))
""",
    """
CREATE TABLE documents_{n} (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time TEXT NOT NULL,
    origin INTEGER NOT NULL, head BLOB NOT NULL)
""",
    "CREATE INDEX times_{n} ON documents_{n} (time, origin)",
    "CREATE VIRTUAL TABLE words_{n} USING fts5 (text, content = '', columnsize = 0)",
)
DROP = ("DROP TABLE words_{n}", "DROP TABLE documents_{n}", "DROP TABLE origins_{n}")

WRITE_INDEX = """
INSERT INTO indices (name, day, written) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET written = max(written, ?3)
"""
OLDEST_INDICES = "SELECT number, name, written FROM indices ORDER BY day, name"

NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM documents_{n}"
COUNT = "SELECT count(*) FROM documents_{n}"

INSERT_ORIGIN = """
INSERT INTO origins_{n} (suffix, stream, namespace, pod, container, tag)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stream, suffix) DO NOTHING
"""
ORIGIN = "SELECT number FROM origins_{n} WHERE suffix = ? AND stream = ?"
INSERT_DOCUMENT = "INSERT INTO documents_{n} VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
NUMBERS_FROM = "SELECT number FROM documents_{n} WHERE number >= ?"
# VALUES, not SELECT … WHERE EXISTS: that opens a savepoint, at which FTS5 writes out what it has
# gathered, row by row (35 us a document, not 8).
INSERT_WORDS = "INSERT INTO words_{n} (rowid, text) VALUES (?, ?)"

# In the order of the numbers: each step back makes FTS5 write out what it has gathered.
OLDEST = """
SELECT d.number, d.head, o.suffix FROM documents_{n} d JOIN origins_{n} o ON o.number = d.origin
WHERE d.number IN (SELECT number FROM documents_{n} ORDER BY time, number LIMIT ?)
ORDER BY d.number
"""
DELETE_WORDS = "INSERT INTO words_{n} (words_{n}, rowid, text) VALUES ('delete', ?, ?)"
DELETE_DOCUMENT = "DELETE FROM documents_{n} WHERE number = ?"
DELETE_ORIGINS = "DELETE FROM origins_{n} WHERE number NOT IN (SELECT origin FROM documents_{n})"
MERGE_WORDS = "INSERT INTO words_{n} (words_{n}, rank) VALUES ('merge', ?)"
