"""Check the fences of the README and of docs/ in pyright's strict mode, as editors do.

Run by `make types`; prints pyright's findings and exits with 1 if there is any.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
UNTYPED = {"ray.md"}  # Ray leaves out types, and is not installed here
# What pages leave to their readers.
PRELUDE = 'callback_address = "https://app.example.org/callback/nonce?code=code"\n'
# In signatures of LangGraph, which leaves out type arguments; strict mode reports each use.
OF_LANGGRAPH = ("BaseCheckpointSaver[Unknown]", "Command[Unknown]")


def main() -> int:
    """Run the pyright whose path is the argument, on the Python that runs this."""
    with tempfile.TemporaryDirectory() as folder:
        for page in PAGES:
            if page.name in UNTYPED:
                continue
            text = page.read_text("utf-8")
            fences = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts).lower().replace("-", "_")
            Path(folder, f"page_{name}.py").write_text(PRELUDE + "\n".join(fences), "utf-8")
        config = {"typeCheckingMode": "strict", "include": ["page_*.py"]}
        Path(folder, "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
        command = [
            str(Path(sys.argv[1]).absolute()),
            "--outputjson",
            "--pythonpath",
            sys.executable,
        ]
        run = subprocess.run(  # noqa: S603 - the path that `make types` gives
            command, cwd=folder, capture_output=True, text=True, check=False
        )

    report = json.loads(run.stdout)
    findings = [
        f"{Path(finding['file']).stem}:{finding['range']['start']['line']}: {finding['message']}"
        for finding in report["generalDiagnostics"]
        if not any(name in finding["message"] for name in OF_LANGGRAPH)
    ]
    for finding in findings:
        print(finding)
    if not report["summary"]["filesAnalyzed"]:
        print("pyright analyzed nothing")
        return 1
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
