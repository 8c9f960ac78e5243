"""Check what `make dist` built, beyond what twine and check-wheel-contents do.

- The description, as an index renders it, links only to addresses and its own headings: a path of
  the repository leads nowhere there.
- The wheel has no file that LangChain's own package has, but those that have to be there: whichever
  of the two is installed last overwrites the other's.
- The sdist has each file that git tracks.

Run by `make dist` with the folder; prints a line for each finding and exits with 1 if there is any.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from readme_renderer import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = "langchain_openrouter"
# Files of langchain-openrouter 0.2, but for __init__.py and py.typed.
OFFICIAL = {f"{PACKAGE}/_version.py", f"{PACKAGE}/chat_models.py", f"{PACKAGE}/data/__init__.py"}


class _Links(HTMLParser):
    """Collects the targets of links and images, and what an anchor may lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the target and the id of a tag."""
        del tag
        self.targets += [value for name, value in attrs if name in {"href", "src"} and value]
        self.anchors |= {f"#{value}" for name, value in attrs if name == "id"}


def description_findings(metadata: str) -> Iterator[str]:
    """Yield a line for each link of a description that leads nowhere on an index page."""
    html = markdown.render(message_from_string(metadata).get_payload())
    if html is None:
        yield "the description is not rendered"
        return

    links = _Links()
    links.feed(html)
    for target in links.targets:
        if not target.startswith("https://") and target not in links.anchors:
            yield f"the description links to {target}: use an address, or no link"


def wheel_findings(names: set[str]) -> Iterator[str]:
    """Yield a line for each file of a wheel that LangChain's own package has, too."""
    yield from (
        f"langchain-openrouter has {name}, too: rename it" for name in sorted(OFFICIAL & names)
    )


def sdist_findings(names: set[str]) -> Iterator[str]:
    """Yield a line for each tracked file that an sdist lacks."""
    if not (ROOT / ".git").exists():  # an unpacked sdist
        return

    tracked = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - git of the PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    present = {name.partition("/")[2] for name in names}
    for name in sorted(set(tracked.stdout.splitlines()) - present):
        if (ROOT / name).exists():
            yield f"the sdist lacks {name}"


def findings_in(folder: Path) -> Iterator[str]:
    """Yield a line for each finding in the wheel and the sdist of a folder.

    Raises:
        ValueError: There is not one wheel and one sdist.
    """
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        description = archive.read(metadata).decode()
    with tarfile.open(sdist) as archive:
        sdist_names = set(archive.getnames())

    yield from description_findings(description)
    yield from wheel_findings(names)
    yield from sdist_findings(sdist_names)


def main() -> int:
    """Print the findings."""
    findings = list(findings_in(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
