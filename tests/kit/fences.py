"""Under which fence each record in PostgreSQL was committed, noted by the database itself."""

from typing import Final

from tests.kit import postgres

_NOTE: Final = (
    "CREATE TABLE noted (position bigint, fence bigint, pid int)",
    """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO noted SELECT NEW.notification_id, fence, pg_backend_pid() FROM netmap_fence; RETURN NEW; END $$""",
    "CREATE TRIGGER note AFTER INSERT ON stored_events FOR EACH ROW EXECUTE FUNCTION note()",
)
_OLD: Final = """
    SELECT pid, array_agg(DISTINCT fence) FROM noted GROUP BY pid HAVING count(DISTINCT fence) > 1
"""


def note_fences(url: str) -> None:
    """Let the database note, with each record from now on, the fence that holds and who appends."""
    for statement in _NOTE:
        postgres.shared().execute(statement, url=url)


def under_old_fences(url: str) -> list[tuple[object, ...]]:
    """The sessions that committed under more than one fence: an engine's sessions live under one, its own."""
    return postgres.shared().execute(_OLD, url=url)
