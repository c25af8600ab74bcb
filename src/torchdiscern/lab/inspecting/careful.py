"""Images that may disappear or change while they are read."""

import torch
from torch import Tensor

from torchdiscern.lab.training.batches import Inputs


class Careful:
    """Reads what can be read; an image that is not there any more is black, and its row is in `missing`.

    Args:
        pixels: what is read.
    """

    def __init__(self, pixels: Inputs) -> None:
        self.pixels = pixels
        self.missing: set[int] = set()

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.pixels.shape)

    def __getitem__(self, rows: Tensor) -> Tensor:
        try:
            return self.pixels[rows]
        except ValueError:
            pass  # one of them: which, the images one by one tell
        found = torch.zeros(len(rows), *self.shape[1:], dtype=torch.uint8)
        for place, row in enumerate(rows.tolist()):
            try:
                found[place] = self.pixels[rows[place : place + 1]][0]
            except ValueError:
                self.missing.add(row)
        return found

    def there(self, rows: Tensor) -> Tensor:
        """`[n]` booleans: which of the rows that were read are images."""
        return torch.tensor([row not in self.missing for row in rows.tolist()], dtype=torch.bool)
