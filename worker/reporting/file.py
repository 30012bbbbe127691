"""Writes the page to a file that only its owner may read."""

import os
from functools import partial
from pathlib import Path

from worker.errors import InputError, UsageError
from worker.private_files import (
    draft_name,
    is_own_file,
    new_draft,
    open_problem,
    opened_folder,
    private_opener,
    remove_draft,
)
from worker.reporting.page import MARK

_BEGINNING = 256
"""Bytes within which a page of ours says so."""


def check_place(path: Path) -> None:
    """Check, before anything is read, that a page may be written there: nothing is there but an earlier page.

    Raises:
      InputError: the folder is missing or can't be read.
      UsageError: another file is there, or :func:`~worker.private_files.private_opener` refuses it.
    """
    try:
        with opened_folder(path) as folder:
            if not is_own_file(path, folder):
                return
            with open(path, "rb", opener=partial(private_opener, folder=folder)) as file:
                begins = file.read(_BEGINNING)
    except OSError as error:
        raise InputError(open_problem(path, error)) from error
    if begins and MARK.encode() not in begins:
        raise UsageError(f"{path}: is no page of this command and would be replaced; choose another --out")


def write_page(path: Path, page: str) -> None:
    """Write the page in one step, so that no reader sees half of it. Blocks on the disk.

    Raises:
      InputError, UsageError: as :func:`check_place`; or the disk is full or broken.
    """
    check_place(path)
    try:
        with opened_folder(path) as folder:
            draft = draft_name(path)
            try:
                with new_draft(draft, folder) as file:
                    file.write(page.encode())
                os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                remove_draft(draft, folder)
                raise
    except OSError as error:
        raise InputError(open_problem(path, error)) from error
