import json

import pytest
import torch

from torchdiscern.lab.environment import hardware, one_thread, versions


def test_is_complete_and_fits_into_json() -> None:
    assert versions()["torch"] == torch.__version__.split("+")[0] or versions()["torch"] == torch.__version__
    assert json.loads(json.dumps(hardware()))["cores"] >= 1


def test_one_thread_gives_the_threads_back_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
