"""The notebooks in a real kernel, each on its cassette, twice; nothing secret in what is saved."""

from __future__ import annotations

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from langchain_openrouter.testing import assert_no_secrets
from tests.support import notebooks

NAMES = [path.stem for path in notebooks.NOTEBOOKS]
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning"),
]


def test_they_are_in_reading_order():
    """Each short, each cell introduced by a sentence, each executed."""
    assert NAMES == [
        "01_first_conversation", "02_chains_tools_and_agents", "03_routing_reasoning_and_multimodal",
        "04_sign_in_for_your_users", "05_testing_offline",
        "06_users_without_accounts", "07_many_prompts",
    ]  # fmt: skip
    for path in notebooks.NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert len(cells) <= 18
        assert [cell.cell_type for cell in cells] == ["markdown", "code"] * (len(cells) // 2)
        assert all(len(cell.source.splitlines()) <= 20 for cell in cells)
        assert any(cell.get("outputs") for cell in cells)


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_twice_with_the_same_outputs(path):
    """In a kernel of its own, with no network; what was recorded is played; as saved."""
    first, second = notebooks.run(path), notebooks.run(path)
    saved = nbformat.read(path, as_version=4)

    assert notebooks.outputs_of(first) == notebooks.outputs_of(second)
    assert notebooks.outputs_of(first, everywhere=True) == notebooks.outputs_of(
        saved, everywhere=True
    )


def test_a_changed_prompt_fails_with_the_difference():
    """Readable in the output of the cell."""
    path = notebooks.NOTEBOOKS[0]

    with pytest.raises(CellExecutionError) as caught:
        notebooks.run(
            path, change=lambda source: source.replace("Hello! What is", "Hallo! What is")
        )
    assert '-      "content": "Hello! What is OpenRouter?"' in str(caught.value)
    assert '+      "content": "Hallo! What is OpenRouter?"' in str(caught.value)


def test_a_cell_that_is_gone_leaves_an_exchange_unplayed():
    """And is told."""
    path = notebooks.NOTEBOOKS[1]

    with pytest.raises((CellExecutionError, AssertionError), match="not requested"):
        notebooks.run(
            path, change=lambda source: "" if "with_structured_output" in source else source
        )


def test_no_secret_is_in_a_saved_notebook():
    """Nor a key that was typed."""
    assert_no_secrets(notebooks.ROOT / "notebooks")
    for path in notebooks.NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any('api_key="sk-' in cell.source for cell in cells)
