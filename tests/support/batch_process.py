"""A batch in a process of its own: `python -m tests.support.batch_process '<JSON of run()>'`.

Prints the result's numbers, or the error, as a line of JSON.
"""

from __future__ import annotations

import json
import sys


def main():
    """Run the batch of the command line."""
    from langchain_openrouter import ChatOpenRouter
    from langchain_openrouter.batch import RayEngine, key_from_file, run

    options = json.loads(sys.argv[1])
    key_file = options.pop("key_file", None)
    model = ChatOpenRouter(
        model=options.pop("model", "openai/gpt-4o-mini"),
        base_url=options.pop("base_url"),
        api_key=key_from_file(key_file) if key_file else "sk-or-v1-sentinel-key-of-the-tests",
        max_retries=0,
        **options.pop("fields", {}),
    )
    if isinstance(options["rows"], int):
        options["rows"] = ({"text": f"row-{n}"} for n in range(options["rows"]))
    if "ray_workers" in options:
        limit = options.pop("max_concurrency", None)
        options["engine"] = RayEngine(limit, workers=options.pop("ray_workers"))
    try:
        result = run(model, options.pop("rows"), **{"progress": False, **options})
    except Exception as error:  # noqa: BLE001 - whatever it was is told
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(json.dumps({"error": "KeyboardInterrupt"}), flush=True)
        raise SystemExit(130) from None
    print(
        json.dumps(
            {
                "done": result.done, "failed": result.failed, "spent": result.spent,
                "stopped": result.stopped, "cost": result.cost,
            }
        ),
        flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
