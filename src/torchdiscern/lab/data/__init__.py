"""Data sets by name and folders of images, checked as they are read."""

from torchdiscern.lab.data.arrays import digits
from torchdiscern.lab.data.check import check_folder, findings_table
from torchdiscern.lab.data.findings import Finding
from torchdiscern.lab.data.folder import read_folder
from torchdiscern.lab.data.images import Images, StoredPixels
from torchdiscern.lab.data.named import load_images, own_size

__all__ = [
    "Finding",
    "Images",
    "StoredPixels",
    "check_folder",
    "digits",
    "findings_table",
    "load_images",
    "own_size",
    "read_folder",
]
