"""Sphinx: a site of Markdown pages and of the docstrings, built without a network."""

import builtins
import inspect
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import is_typeddict

from docutils import nodes
from pydantic import BaseModel
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util import logging
from sphinx.util.nodes import find_pending_xref_condition

import langchain_openrouter

project = "langchain-openrouter-oauth"
html_title = "OpenRouter for LangChain"
copyright = "the authors of langchain-openrouter-oauth"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
pygments_dark_style = "a11y-dark"  # the theme's own underlines names of modules, like links
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_search_summary = False  # it is fetched, which browsers refuse from a file
html_copy_source = False
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = False
autodoc_use_type_comments = False
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
default_role = "code"
add_module_names = False

PACKAGE = "langchain_openrouter"
API = Path(__file__).parent / "reference" / "api"
# Fields and methods of these are LangChain's, pydantic's or Python's to explain.
FOREIGN_BASES = ["BaseChatOpenAI", "Embeddings", "BaseDocumentCompressor", "BaseModel",
                 "BaseSettings", "AgentMiddleware", "BaseCallbackHandler", "Runnable", "tuple",
                 "str", "dict", "list", "object", "Exception", "TypedDict", "StrEnum"]  # fmt: skip
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
logger = logging.getLogger(__name__)


def public_modules() -> list[str]:
    """Return the modules with public names: none of the command line and the examples."""
    modules = [PACKAGE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in walk_packages(langchain_openrouter.__path__, f"{PACKAGE}."):
            parts = found.name.split(".")[1:]
            if len(parts) == 1 and not parts[0].startswith("_"):
                modules.append(found.name)
    return modules


def public_names(module: str) -> list[str]:
    """Return what a module exports; `wire`, a table without `__all__`, all that it defines."""
    loaded = import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(loaded).items()
            if name[0] != "_" and inspect.isclass(value) and value.__module__ == module
        ]
    return [name for name in names if name != "__version__"]


MODULES = {module: public_names(module) for module in public_modules()}
HOMES: dict[str, str] = {}  # a bare name, or where it is defined -> where it is documented
for _module in [*[m for m in MODULES if m != PACKAGE], PACKAGE]:
    for _name in MODULES[_module]:
        _value = getattr(import_module(_module), _name)
        if getattr(_value, "__name__", _name) != _name:
            continue  # a former name
        _defined = (
            f"{getattr(_value, '__module__', _module)}.{getattr(_value, '__qualname__', _name)}"
        )
        HOMES.setdefault(_defined, f"{_module}.{_name}")
        HOMES.setdefault(_name, HOMES[_defined])


for _module, _names in MODULES.items():
    for _name in _names:
        HOMES.setdefault(_name, f"{_module}.{_name}")


def directive(module: str, name: str) -> str:
    """Return the directive that documents a name."""
    value = getattr(import_module(module), name)
    here = f"{module}.{name}"
    defined = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    home = HOMES.get(defined, here)
    if home != here:
        options = f"   :module: {module}\n   :no-index-entry:"
        return f".. py:data:: {name}\n{options}\n\n   The same as :py:obj:`{home}`."

    if is_typeddict(value):
        return f".. autoclass:: {here}\n   :members:\n   :undoc-members:"
    if inspect.isclass(value):
        bases = ",".join(FOREIGN_BASES)
        is_error = issubclass(value, Exception) and name != "OpenRouterError"
        members = "" if is_error else f"\n   :members:\n   :inherited-members: {bases}"
        return f".. autoclass:: {here}\n   :show-inheritance:{members}"
    kind = "autofunction" if inspect.isroutine(value) else "autodata"
    return f".. {kind}:: {here}"


def write_pages() -> None:
    """Write one page for each public module; what has not changed is left alone."""
    API.mkdir(exist_ok=True)
    index = [
        "# Every public name",
        "",
        "By module, from the docstrings.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
    ]
    for module, names in MODULES.items():
        body = "\n\n".join(directive(module, name) for name in names)
        head = f"# `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :no-members:\n"
        text = f"{head}\n{body}\n```\n"
        path = API / f"{module}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        index.append(module)
    text = "\n".join([*index, "```", ""])
    if not (API / "index.md").exists() or (API / "index.md").read_text() != text:
        (API / "index.md").write_text(text)


def to_rst(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn what our docstrings have of Markdown into reStructuredText: fences, names, links."""
    del app, what, options
    if not name.startswith(PACKAGE):
        return

    text = re.sub(
        r"^( *)```(\w+)\n(.*?)^ *```$", _code, "\n".join(lines), flags=re.MULTILINE | re.DOTALL
    )
    text = "\n\n".join(_literal_tree(part) for part in text.split("\n\n"))
    text = re.sub(r"(?<![`:])`([^`\n]+)`(?!`)", _reference, text)
    text = re.sub(r"\[([^\]\n]+)\]\((https://[^)\s]+)\)", r"`\1 <\2>`__", text)
    text = re.sub(r"(?<=\w)\*(?=\w)", r"\\*", text)
    lines[:] = text.split("\n")


def _literal_tree(part: str) -> str:
    if not re.search(r"[├└│]", part):
        return part
    return "::\n\n" + "\n".join(f"   {line}".replace("`", "") for line in part.split("\n"))


def _code(match: re.Match[str]) -> str:
    indent, language, code = match.groups()
    body = "\n".join(f"   {line}" if line.strip() else "" for line in code.split("\n"))
    return f"{indent}.. code-block:: {language}\n\n{body}\n"


def _reference(match: re.Match[str]) -> str:
    name = match[1].removesuffix("()")
    if name in HOMES and not name.islower():
        return f":py:obj:`{name} <{HOMES[name]}>`"
    return f"``{match[1]}``"


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str, returns: str
) -> tuple[str, str] | None:
    """Leave the fields of a pydantic model to their own entries; say less of `Annotated`."""
    if inspect.isclass(obj) and issubclass(obj, BaseModel):
        return "(**fields)", ""
    if arguments and "<factory>" in arguments:
        return arguments.replace("<factory>", "..."), returns
    return None


def resolve(app: Sphinx, env: object, node: nodes.Element, content: nodes.Element) -> object:
    """Lead a type to where it is documented; types of other packages and private ones are text."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    home = HOMES.get(target) or HOMES.get(target.rpartition(".")[2])
    if home and home != target:
        domain = app.env.domains["py"]
        found = domain.resolve_xref(
            app.env, node["refdoc"], app.builder, "obj", home, node, content
        )
        if found is not None:
            return found
    is_typo = target.startswith(PACKAGE) and "._" not in target and node.get("reftype") == "obj"
    if is_typo:
        return None
    if isinstance(content, addnodes.pending_xref_condition):
        return nodes.Text(target.rpartition(".")[2])
    return content


def unlink_builtins(app: Sphinx, doctree: nodes.document) -> None:
    """Make text of `type` and `object`, which are names of fields too."""
    del app
    for node in list(doctree.findall(addnodes.pending_xref)):
        if hasattr(builtins, node.get("reftarget", "")):
            resolved = find_pending_xref_condition(node, "resolved")
            node.replace_self(node.children if resolved is None else resolved.children)


def add_dark_images(app: Sphinx, doctree: nodes.document) -> None:
    """Show `name-dark.png` instead of `name.png` on dark pages, where there is one beside it."""
    folder = Path(app.env.doc2path(app.env.docname)).parent

    for image in list(doctree.findall(nodes.image)):
        light = Path(image["uri"])
        dark = light.with_stem(f"{light.stem}-dark")
        if (folder / dark).is_file():
            copy = image.deepcopy()
            copy["uri"] = dark.as_posix()
            image["classes"].append("only-light")
            copy["classes"].append("only-dark")
            image.parent.insert(image.parent.index(image) + 1, copy)


def check_names(app: Sphinx, env: object) -> None:
    """Warn of each public name that no page documents."""
    del env
    documented = set(app.env.domains["py"].objects)
    for module, names in MODULES.items():
        for name in names:
            if f"{module}.{name}" not in documented:
                logger.warning("%s.%s is documented nowhere", module, name)


def attribute_text(docstring: GoogleDocstring) -> tuple[str, list[str]]:
    """Return no type and all the text; Napoleon takes what is before a colon for the type."""
    lines = docstring._dedent(docstring._consume_to_end())  # noqa: SLF001 - it has no option
    return "", GoogleDocstring(lines, docstring._config).lines()  # noqa: SLF001 - it has no option


def setup(app: Sphinx) -> None:
    """Write the pages, and connect what reads docstrings."""
    sys.setrecursionlimit(5000)
    GoogleDocstring._consume_inline_attribute = attribute_text  # noqa: SLF001 - it has no option
    write_pages()
    app.connect("autodoc-process-docstring", to_rst, priority=100)
    app.connect("autodoc-process-signature", shorten)
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", unlink_builtins)
    app.connect("doctree-read", add_dark_images, priority=400)  # before images are collected
    app.connect("env-check-consistency", check_names)
