"""Networks by name, their layers known, whole or partly frozen."""

from torchdiscern.lab.networks.frozen import freeze, frozen_modules, split_frozen
from torchdiscern.lab.networks.named import Network, make_network, network_names

__all__ = ["Network", "freeze", "frozen_modules", "make_network", "network_names", "split_frozen"]
