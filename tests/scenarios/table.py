"""Which test shows which scenario of the reference (WireGuard-only peers, §7.3 and §8).

Rule 1: a test whose name has the scenario's number as a word shows it: `test_f4_…`, `test_n13_…`, `test_e31b_…`; a range,
        `test_f6c_to_f6g_…`, shows all in it.
Rule 2: `ELSEWHERE` names tests of other names, each as `path::test`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

SCENARIOS: Final[tuple[str, ...]] = (
    *(f"f{number}" for number in range(1, 6)),
    *(f"f6{letter}" for letter in "abcdefg"),
    *(f"f{number}" for number in range(7, 27)),
    *(f"n{number}" for number in range(1, 36)),
    *(f"e{number}" for number in range(1, 35)),
    "e31b",
)

_DOCS: Final = "tests/e2e/test_docs_wireguard.py"
_EXPORT: Final = "tests/unit/cli/test_wg_export.py"
_IMPORT: Final = "tests/unit/cli/test_wg_import.py"
_PROVIDERS: Final = "tests/e2e/test_providers.py"
_RELAYS: Final = "tests/unit/cli/test_wg_relays.py"
_RULES: Final = "tests/unit/domain/test_wireguard_rules.py"
_WHY: Final = "tests/unit/projections/history/test_why.py"
ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "n1": (
        f"{_DOCS}::test_every_command_of_the_page_works_in_its_order",
        f"{_DOCS}::test_the_commands_of_the_original_document_are_on_the_page_word_for_word",
        "tests/unit/domain/test_connections.py::test_the_documented_commands_work_word_for_word",
    ),
    "n7": (
        "tests/unit/projections/test_queries.py::test_the_list_of_nodes_carries_what_an_older_tool_reads",
    ),
    "n14": (
        f"{_RULES}::test_it_is_refused",
        f"{_RULES}::test_it_is_accepted_with_a_warning_and_refused_to_the_strict",
        f"{_RULES}::test_every_cell_that_is_not_here_has_a_reason",
    ),
    "n23": (
        f"{_EXPORT}::test_an_export_is_the_same_whatever_the_order_of_the_answers",
        f"{_EXPORT}::test_the_checksum_is_of_keys_and_addresses_alone",
        f"{_EXPORT}::test_a_key_that_was_renewed_is_one_difference",
        f"{_EXPORT}::test_every_text_is_read_back_as_it_was_meant",
        f"{_EXPORT}::test_wg_itself_takes_the_text",
    ),
    "n24": (
        f"{_IMPORT}::test_what_cannot_be_taken_is_told_by_line",
        f"{_IMPORT}::test_no_text_gets_anything_but_a_fault_and_none_repeats_a_private_key",
    ),
    "n25": (
        f"{_RELAYS}::test_done_again_nothing_is_sent",
        f"{_RELAYS}::test_who_is_gone_is_disabled_whatever_was_chosen_of_the_list",
        f"{_RELAYS}::test_prune_removes_who_is_gone_and_disables_who_is_connected",
    ),
    "n26": (
        f"{_PROVIDERS}::test_who_finds_no_place_waits_and_gets_the_next_that_is_free",
        f"{_PROVIDERS}::test_an_account_that_is_full_without_us_is_told_and_tried_again_by_hand",
        f"{_PROVIDERS}::test_what_fails_for_a_while_is_tried_again_by_itself",
        f"{_PROVIDERS}::test_a_node_is_registered_connected_and_withdrawn",
        f"{_PROVIDERS}::test_a_new_node_key_moves_the_masquerade_addresses_and_is_the_only_one_left",
    ),
    "n27": (
        "tests/unit/domain/test_lookups.py::test_a_failure_keeps_the_last_good_and_is_told_once",
        "tests/unit/domain/test_lookups.py::test_a_name_that_was_never_found_is_no_place_and_the_sender_is_told",
    ),
    "n28": (
        f"{_WHY}::test_what_blocks_is_named_with_who_did_it_when_and_why_and_its_fix_undoes_it",
        f"{_WHY}::test_a_node_that_was_never_connected_is_told_how",
        f"{_WHY}::test_old_clients_are_told_what_they_lack",
        f"{_WHY}::test_a_policy_that_does_not_name_the_peer_is_named_with_a_rule_that_would",
    ),
}


def named_in(test: str) -> frozenset[str]:
    """Return the scenarios that a test's name has as words."""
    words = test.split("_")
    found = set(words)
    for first, to, last in zip(words, words[1:], words[2:], strict=False):
        if to == "to":
            found.update(_between(first, last))
    return frozenset(found & set(SCENARIOS))


def _between(first: str, last: str) -> Iterable[str]:
    if first in SCENARIOS and last in SCENARIOS and first[0] == last[0]:
        return SCENARIOS[SCENARIOS.index(first) : SCENARIOS.index(last) + 1]
    return ()
