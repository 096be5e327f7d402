"""Pages: bounded in rows and octets, and together the whole list."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from projections.pages import page


@given(st.lists(st.text(max_size=20), max_size=40), st.integers(1, 10), st.integers(1, 200))
def test_pages_together_are_the_list(texts: list[str], limit: int, budget: int) -> None:
    rows = list(enumerate(texts, start=1))
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        part = page(rows, after=after, limit=limit, budget=budget)
        assert len(part.rows) <= limit
        assert len(part.rows) == 1 or sum(len(bytes(row)) + 1 for row in part.rows) <= budget or not part.rows
        found += [msgspec.json.decode(row) for row in part.rows]
        after = part.next
    assert found == texts
