"""Scores for files of edits: streamed, resumable, on this machine or on Ray. Needs the extra ``bulk``."""

try:
    import pyarrow  # noqa: F401 - looked for here, so that its absence is told once and with the remedy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("scoring files needs pyarrow: pip install 'edit-rrm[bulk]'", name="pyarrow") from error
