"""What a tracing service and a checkpointer would keep."""

from __future__ import annotations

from langchain_core.tracers.base import BaseTracer


class Trace(BaseTracer):
    """Keeps every run as it would be sent to a tracing service."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def _persist_run(self, run):
        self.kept.append(str(run.__dict__) + run.model_dump_json(fallback=repr))


def everything_in(saver):
    """Return all that a checkpointer wrote."""
    return repr(saver.storage) + repr(saver.writes) + repr(saver.blobs)
