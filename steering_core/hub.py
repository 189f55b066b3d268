"""Models that are on this machine: in a folder, or under their name in the cache of Hugging Face."""

from __future__ import annotations

from pathlib import Path

from .described import brief


def local_folder(source: str | Path, marker: str) -> Path:
    """The folder that holds a model; the network is asked for nothing.

    A library that is given a name looks it up in the cache and calls its hub on the way, even where it is told to
    use local files only. Given the folder it has no reason to.

    Args:
        source: a folder, or a model's name on Hugging Face, such as ``org/name``, that is in the local cache.
        marker: a file that folders of this kind of model have.

    Raises:
        ValueError: there is no such folder here, or it has no such file.
    """
    from huggingface_hub import try_to_load_from_cache

    folder = Path(source)
    try:
        is_folder = folder.is_dir()
        cached = None if is_folder else try_to_load_from_cache(str(source), marker)
    except (ValueError, OSError):  # neither a path nor a name
        is_folder, cached = False, None
    if isinstance(cached, str):
        return Path(cached).parent
    if not is_folder:
        raise ValueError(
            f"{brief(str(source))} is neither a folder nor in the Hugging Face cache of this machine, and nothing is "
            f"downloaded. Give a folder, or first run: hf download NAME"
        )
    if not (folder / marker).is_file():
        raise ValueError(f"{folder}: {marker} was expected in this folder, and is not there.")
    return folder
