"""Progress on a terminal, and where the output is none."""

import io

from rich.console import Console

from curator_dagster.commands.console import progress_display
from stages.run import Progress

COMPARING = "comparing sources with equal samples"
STEPS = [
    Progress("split", 0, 0, 10, 2.0, 0.0, "starting Ray", 2.0, 0.0, 3690.0),
    Progress("split", 9, 1, 10, 42.0, 0.25, "", 2.0, 900.0, 3690.0, 4000.0),
]


def shown(*steps: Progress, is_terminal: bool, width: int = 120, word: str = "split") -> list[str]:
    """Lines with a word that were written, without those that only move the cursor."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, color_system=None, width=width, soft_wrap=not is_terminal)
    with progress_display(console) as report:
        for step in steps:
            report(step)
    return [line for line in file.getvalue().splitlines() if word in line]


def test_bar_of_a_terminal_goes_by_the_work_and_not_by_items() -> None:
    last = shown(*STEPS, is_terminal=True)[-1]
    assert "15.0 of 61.5 min, 9/10, 1 failed, 100 frames/s, 2 min left" in last
    assert last.count("━") + last.count("╸") == 5, "a quarter of 20"


def test_bar_says_what_comes_before_the_work() -> None:
    assert "starting Ray ..." in shown(STEPS[0], is_terminal=True, width=80)[-1]


def test_what_the_phase_prepares_is_told_as_it_goes() -> None:
    """Of sources of equal size, with the rate and the time left since workers began."""
    starting = Progress("read", 0, 0, 50, 2.0, 0.0, "starting Ray", 2.0, is_preparing=True)
    begun = Progress("read", 10, 0, 50, 42.0, 0.25, COMPARING, 2.0, is_preparing=True)
    assert "starting Ray ..." in shown(starting, is_terminal=True, word="read", width=150)[-1]
    last = shown(starting, begun, is_terminal=True, word="read", width=150)[-1]
    assert f"{COMPARING}, 10/50, 15.0 items/min, 2 min left" in last
    assert last.count("━") + last.count("╸") == 5, "a quarter of 20"
    assert shown(starting, begun, is_terminal=False, word="read") == [
        "read: starting Ray ..., 0 of 50 items, 2 s",
        f"read: {COMPARING} ..., 10 of 50 items, 15.0 items/min, 42 s, about 2 min left",
    ]


def test_lines_stand_in_place_of_bars_where_there_is_no_terminal() -> None:
    assert shown(*STEPS, is_terminal=False) == [
        "split: starting Ray ..., 0.0 of 61.5 min of video, 0 of 10 items, 2 s",
        "split: 15.0 of 61.5 min of video, 9 of 10 items, 1 failed, 100 frames/s, 42 s, about 2 min left",
    ]
