"""Images with a sibling for dark pages; the documentation's own packages are needed."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import pytest

from tests.support.documents import ROOT


@pytest.mark.parametrize(("name", "expected"), [("a", ["a.png", "a-dark.png"]), ("b", ["b.png"])])
def test_an_image_has_a_dark_one_beside_it(tmp_path, name, expected):
    """Each is shown by one theme alone; an image without a sibling by both."""
    pytest.importorskip("sphinx")
    nodes = pytest.importorskip("docutils.nodes")
    utils = pytest.importorskip("docutils.utils")
    (tmp_path / "pictures").mkdir()
    for file in ("a.png", "a-dark.png", "b.png"):
        (tmp_path / "pictures" / file).touch()
    document = utils.new_document("page")
    document += nodes.paragraph("", "", nodes.image(uri=f"pictures/{name}.png"))
    environment = SimpleNamespace(docname="page", doc2path=lambda page: tmp_path / f"{page}.md")

    runpy.run_path(str(ROOT / "docs" / "conf.py"))["add_dark_images"](SimpleNamespace(env=environment), document)  # fmt: skip
    images = list(document.findall(nodes.image))
    assert [image["uri"] for image in images] == [f"pictures/{file}" for file in expected]
    assert [image["classes"] for image in images] == ([["only-light"], ["only-dark"]] if name == "a" else [[]])  # fmt: skip
