"""Models that are on this machine: in a folder, or under their name in the cache of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from ..attributes import replaced
from ..out_of_memory import is_out_of_memory
from ..wording import brief, one_line

#: For what loads a model by its folder: nothing is downloaded, and no code of the folder is run.
HERE = {"local_files_only": True, "trust_remote_code": False}
_LOADING = RLock()


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


@contextmanager
def loading_from(folder: Path, otherwise: str) -> Iterator[None]:
    """While it lasts, what is loaded from a folder runs no Python of that folder, and nobody is asked to allow it.

    ``trust_remote_code=False`` says so of what is loaded by name. Parts that its configuration leads to, such as a
    backbone in another folder or the image processor of a processor, are loaded without it, and transformers asks on
    the terminal. With a time-out of 0 it refuses without asking.

    Args:
        otherwise: names what was given and says what was expected, for whatever else ends the loading.

    Raises:
        ValueError: the folder wants its Python to be run, or the loading ended in an error other than that
            memory ran out.
    """
    from transformers import dynamic_module_utils

    # The time is the whole library's: a second thread must not put it back before the first is through.
    with _LOADING, replaced(dynamic_module_utils, TIME_OUT_REMOTE_CODE=0):
        try:
            yield
        except Exception as error:  # damaged files end in whatever their classes make of them
            if is_out_of_memory(error):
                raise
            # Both libraries refuse by a plain ValueError, which advises an argument that no command here has.
            if not (isinstance(error, ValueError) and "trust_remote_code" in str(error)):
                raise ValueError(f"{otherwise}: {one_line(error)}") from error
            raise ValueError(
                f"{folder} wants Python of its own to be run (auto_map in a configuration, or a module beside it). "
                f"That of a folder is never run; give a model of a kind that transformers or diffusers has itself."
            ) from error
