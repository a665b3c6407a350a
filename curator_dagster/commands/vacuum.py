"""`curator vacuum`: says what no kept version of a root names, or removes it and merges small row files."""

from curator_dagster.commands.console import stdout_console
from stages.maintenance import plan_vacuum, vacuum
from stages.storage import Storage


def vacuum_command(root: str, *, keep: int, min_age_s: float, deletes: bool) -> None:
    """Print a line a kind of file, with its number and megabytes.

    Raises:
        ManifestError: a kept version is damaged; nothing was removed.
        StorageError: the root does not answer.
    """
    storage = Storage(root)
    work = vacuum if deletes else plan_vacuum
    plan = work(storage, versions_kept=keep, min_age_s=min_age_s)
    out = stdout_console()
    verb = "removed" if deletes else "would be removed"
    for kind, (count, size_bytes) in plan.counts().items():
        out.print(f"{kind}: {count} {verb}, {size_bytes / 1e6:.1f} MB")
    small = sum(len(each.files) for each in plan.compactions)
    merged = "merged" if deletes else "would be merged"
    out.print(f"small row files: {small} {merged} into {len(plan.compactions)}")
    kept = ", ".join(map(str, plan.kept)) or "none"
    out.print(f"Versions that stay: {kept}", soft_wrap=True)
    if plan.at_work:
        runs = ", ".join(map(str, plan.at_work))
        out.print(f"Runs at work, what they may name stays: {runs}", soft_wrap=True)
    if deletes:
        return
    if plan.compactions or any(count for count, _ in plan.counts().values()):
        out.print("Nothing was removed. Run it again with --delete.")
    else:
        out.print(f"There is nothing to remove: files younger than {min_age_s / 3600:g} h stay (--min-age-h).")
