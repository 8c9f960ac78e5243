"""Make the snapshot of model profiles from an answer of `GET /models`: a file, or the live service.

python scripts/profiles.py [models.json [YYYY-MM-DD]]
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from langchain_openrouter import _model_profiles
from langchain_openrouter.catalog import Catalog

if __name__ == "__main__":
    today = datetime.now(UTC).date().isoformat()
    if len(sys.argv) > 1:
        answer = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        today = sys.argv[2] if len(sys.argv) > 2 else today  # noqa: PLR2004 - the second word
    else:
        answer = {"data": [model.data for model in Catalog().models(output_modalities="all")]}
    snapshot = _model_profiles.build_snapshot(answer, today)
    target = Path(_model_profiles.__file__).with_name(_model_profiles.FILE)
    text = json.dumps(snapshot, ensure_ascii=False, separators=(",", ":")).replace('},"', '},\n"')
    target.write_text(text + "\n", encoding="utf-8")
    print(f"{target}: {len(snapshot['models'])} models, {target.stat().st_size} bytes")
