"""The written clips as a dataset for training: rows, decoded frames and captions, divided by source.

In: a root, or a copy of its folder ``dataset/``, and which frames of a clip are wanted. Out: a map-style
`torch.utils.data.Dataset`. torch and FFmpeg are imported at the first access to a name.
"""

from typing import TYPE_CHECKING

from stages import lazy

__all__ = ["ClipDataset", "open_dataset"]

if TYPE_CHECKING:
    from stages.dataset.clip_dataset import ClipDataset, open_dataset
else:
    __getattr__ = lazy.module_getattr(__name__, clip_dataset=("ClipDataset", "open_dataset"))
