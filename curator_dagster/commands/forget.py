"""`curator forget`: takes a source and everything made of it out of a root, and says what it removed."""

import typer

from curator_dagster.commands.console import stderr_console, stdout_console
from curator_dagster.commands.exit_codes import EXIT_INTERRUPTED
from curator_dagster.metadata import REPORT_NAME
from stages.maintenance import forget_source, resolve_source
from stages.storage import Storage


def forget_command(root: str, name: str, *, asks: bool) -> int:
    """Remove a source, print a line a kind of what was removed, and return the exit code.

    Args:
        root: where everything was written.
        name: uri of the source, or the path of a local file.
        asks: whether to ask first.

    Raises:
        ParamsError: the root has no such source.
        ManifestError: a file of the root is damaged.
        StorageError: the root does not answer.
    """
    storage = Storage(root)
    uri = resolve_source(storage, name)
    if asks and not typer.confirm(f"Remove {uri} and everything made of it, in all versions, for good?", err=True):
        stderr_console().print("Nothing was removed.")
        return EXIT_INTERRUPTED
    removed = forget_source(storage, uri)
    out = stdout_console()
    if not removed.num_versions:
        out.print(f"{uri} was taken out before; nothing of it was left.", soft_wrap=True)
        return 0
    contents = "" if removed.num_versions == 1 else f", with {removed.num_versions} versions of its content"
    out.print(f"{uri} is taken out of all versions of the root{contents}.", soft_wrap=True)
    for asset, count in removed.rows.items():
        if count:
            out.print(f"{asset}: {count} {'row' if count == 1 else 'rows'} removed")
    for kind, infos in removed.files.items():
        if not infos:
            continue
        out.print(f"{kind}: {len(infos)} removed, {sum(info.size_bytes for info in infos) / 1e6:.1f} MB")
    if storage.exists(REPORT_NAME):
        storage.delete(REPORT_NAME)
        out.print(f"{REPORT_NAME} removed, which may show it; `curator report` makes it again")
    out.print("It is not taken up again. The next `curator run` decides again about clips that were its copies.")
    return 0
