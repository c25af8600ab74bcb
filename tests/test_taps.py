import copy
import gc
import pickle
import weakref
from typing import Any, cast

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from torchdiscern import DiscriminabilityLoss, FeatureTap


class Net(nn.Module):
    """Two blocks and a head; the second block can be checkpointed."""

    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 5)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.block(x) if self.reentrant is None else self.checkpointed(x)
        return cast(Tensor, self.head(x.mean((2, 3))))

    def checkpointed(self, x: Tensor) -> Tensor:
        return cast(Tensor, checkpoint(self.block, x, use_reentrant=self.reentrant))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def step(model: nn.Module, tap: FeatureTap, x: Tensor) -> Tensor:
    """One loss on the tapped features; gives the first layer's gradient."""
    model.zero_grad()
    criterion, target = DiscriminabilityLoss(5), torch.arange(len(x)) % 5
    logits = model(x)
    (nn.functional.cross_entropy(logits, target) + criterion(tap.features, target)).backward()
    gradient = next(model.parameters()).grad
    assert gradient is not None
    return gradient.clone()


class TestFeatures:
    def test_are_the_layers_outputs_in_the_order_asked(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block", net.stem) as tap:
            net(x)
            features = tap.features
        assert list(features) == ["block", "stem"]
        torch.testing.assert_close(features["stem"], net.stem(x), rtol=0, atol=0)
        torch.testing.assert_close(features["block"], net.block(net.stem(x)), rtol=0, atol=0)

    def test_of_a_torchvision_resnet(self) -> None:
        model = torchvision.models.resnet18(num_classes=5)
        with FeatureTap(model, "layer4", model.layer3) as tap:
            assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)
            shapes = {name: tuple(f.shape) for name, f in tap.features.items()}
        assert shapes == {"layer4": (2, 512, 2, 2), "layer3": (2, 256, 4, 4)}

    def test_of_a_timm_transformer(self) -> None:
        model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=5)
        with FeatureTap(model, "blocks.11", pool=True, feature_dim=-1) as tap:
            model(torch.rand(2, 3, 64, 64))
            pooled = tap.features["blocks.11"]
        with FeatureTap(model, cast(Any, model.blocks)[11]) as tap:
            model(torch.rand(2, 3, 64, 64))
            assert tap.features["blocks.11"].shape == (2, 17, 192)
        assert pooled.shape == (2, 192)

    def test_pooled_after_a_relu_give_the_same_loss_and_gradient(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block") as mapped:
            expected = step(net, mapped, x)
        with FeatureTap(net, "block", pool=True) as pooled:
            torch.testing.assert_close(step(net, pooled, x), expected)

    def test_of_a_shared_layer_by_either_name(self) -> None:
        model = nn.Sequential()
        model.add_module("first", layer := nn.Linear(3, 3))
        model.add_module("second", layer)
        with FeatureTap(model, "second") as tap:
            output = model(torch.rand(2, 3))
            assert torch.equal(tap.features["second"], output)  # of its last run

    def test_of_a_layer_that_gives_a_tuple(self) -> None:
        model = nn.LSTM(8, 4, batch_first=True)
        with FeatureTap(nn.Sequential(model), "0") as tap:
            model(torch.rand(2, 5, 8))
            assert tap.features["0"].shape == (2, 5, 4)

    def test_of_a_layer_without_a_tensor_say_so(self) -> None:
        class Inner(nn.Module):
            def forward(self, x: Tensor) -> dict[str, Tensor]:
                return {"x": x}

        model = nn.Sequential(Inner())
        with FeatureTap(model, "0") as tap:
            model(torch.rand(2, 3))
            with pytest.raises(RuntimeError, match=r"'0' gave .*dict.*tap a layer inside"):
                _ = tap.features


class TestLeavesTheModelAlone:
    def test_outputs_and_state_dict(self, net: Net, x: Tensor) -> None:
        outputs, keys = net(x), list(net.state_dict())
        with FeatureTap(net, "block"):
            torch.testing.assert_close(net(x), outputs, rtol=0, atol=0)
            assert list(net.state_dict()) == keys

    @pytest.mark.skipif(
        not hasattr(torch.compiler, "is_exporting"),
        reason="torch 2.6 cannot tell an export from a compilation: detach the tap first",
    )
    @pytest.mark.parametrize("strict", [True, False])
    def test_exported_graph(self, net: Net, x: Tensor, strict: bool) -> None:
        def graph() -> list[tuple[str, str]]:
            program = torch.export.export(net.eval(), (x,), strict=strict)
            return [(node.op, str(node.target)) for node in program.graph.nodes]

        expected = graph()
        with FeatureTap(net, "block") as tap:
            assert graph() == expected
            with pytest.raises(RuntimeError, match="gave no output"):
                _ = tap.features

    @pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
    def test_traced_graph(self, net: Net, x: Tensor) -> None:
        def graph() -> list[str]:
            return [node.kind() for node in torch.jit.trace(net.eval(), x).inlined_graph.nodes()]

        expected = graph()
        with FeatureTap(net, "block"):
            assert graph() == expected

    def test_no_hook_stays(self, net: Net, x: Tensor) -> None:
        with pytest.raises(KeyError), FeatureTap(net, "block", "stem"):
            assert hooks(net) == 4
            raise KeyError
        assert hooks(net) == 0
        tap = FeatureTap(net, "block").attach().attach()
        assert hooks(net) == 3
        tap.detach()
        assert hooks(net) == 0

    def test_no_hook_stays_where_a_name_is_wrong(self, net: Net) -> None:
        with pytest.raises(ValueError, match="blok"):
            FeatureTap(net, "stem", "blok").attach()
        assert hooks(net) == 0

    def test_two_taps_do_not_disturb_each_other(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block") as one, FeatureTap(net, "block", "stem") as two:
            net(x)
            torch.testing.assert_close(one.features["block"], two.features["block"])
            one.detach()
            net(x)
            assert two.features

    def test_a_copy_keeps_nothing_of_the_tap(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block") as tap:
            net(x)
            average = copy.deepcopy(net)
        held: list[weakref.ref[Tensor]] = []
        average.block.register_forward_hook(lambda *a: held.append(weakref.ref(a[2])))
        average(x)
        gc.collect()
        assert held[0]() is None
        again = copy.deepcopy(tap)
        with again:
            again._root(x)
            assert again.features

    def test_symbolic_trace(self, net: Net) -> None:
        expected = str(torch.fx.symbolic_trace(net).graph)
        with FeatureTap(net, "block", pool=True):
            assert str(torch.fx.symbolic_trace(net).graph) == expected

    def test_a_part_of_the_model_can_run_without_gradient(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block") as tap:
            net(x)
            with torch.no_grad():
                net.block(net.stem(x))  # as in a model's own forward_features
            assert not tap.features["block"].requires_grad

    def test_copies_and_pickles_in_the_middle_of_a_step(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block") as tap:
            expected = net(x)
            assert tap.features["block"].requires_grad
            for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
                torch.testing.assert_close(again(x), expected)
            assert tap.features


class TestLetsGo:
    @pytest.mark.parametrize("how", ["the next forward pass", "clear", "detach"])
    def test_of_the_features(self, net: Net, x: Tensor, how: str) -> None:
        tap = FeatureTap(net, "block").attach()
        net(x)
        held = weakref.ref(tap.features["block"])
        gone_before_the_layer_ran: list[bool] = []
        if how == "the next forward pass":
            net.stem.register_forward_hook(lambda *_: gone_before_the_layer_ran.append(held() is None))
            net(x)
            assert gone_before_the_layer_ran == [True]
        elif how == "clear":
            tap.clear()
        else:
            tap.detach()
        gc.collect()
        assert held() is None

    def test_old_features_are_never_given_for_new(self, net: Net, x: Tensor) -> None:
        class Skips(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = net
                self.skip = False

            def forward(self, x: Tensor) -> Tensor:
                return x if self.skip else cast(Tensor, self.net(x))

        model = Skips()
        with FeatureTap(model, "net.block") as tap:
            model(x)
            model.skip = True
            model(x)
            with pytest.raises(RuntimeError, match=r"'net\.block' gave no output"):
                _ = tap.features


class TestCheckpointing:
    def test_without_reentry_gives_the_same_gradients(self, net: Net, x: Tensor) -> None:
        again = Net(reentrant=False)
        again.load_state_dict(net.state_dict())
        with FeatureTap(net, "block") as tap:
            expected = step(net, tap, x)
        with FeatureTap(again, "block") as tap:
            torch.testing.assert_close(step(again, tap, x), expected)

    def test_the_second_run_is_not_listened_to(self, x: Tensor) -> None:
        model = Net(reentrant=False)
        runs: list[object] = []
        model.block[0].register_forward_hook(lambda *_: runs.append(None))
        with FeatureTap(model, "block.0") as tap:
            output = model(x)
            features = tap.features["block.0"]
            output.sum().backward()
            assert len(runs) == 2
            assert tap.features["block.0"] is features

    def test_with_reentry_says_what_to_do(self, x: Tensor) -> None:
        model = Net(reentrant=True)
        with FeatureTap(model, "block"), pytest.raises(RuntimeError, match="use_reentrant=False"):
            model(x)
        with FeatureTap(model, "block") as tap, torch.no_grad():
            model(x)
            assert not tap.features["block"].requires_grad


@pytest.mark.usefixtures("fresh_compiler")
class TestCompile:
    @pytest.mark.parametrize("compiled_first", [True, False])
    def test_gives_the_same_features_and_gradients(self, net: Net, x: Tensor, compiled_first: bool) -> None:
        with FeatureTap(net, "block") as tap:
            expected = step(net, tap, x)
        if compiled_first:
            model: Any = torch.compile(net, fullgraph=True)
            tap = FeatureTap(model, "block").attach()
        else:
            tap = FeatureTap(net, "block").attach()
            model = torch.compile(net, fullgraph=True)
        for _ in range(2):
            torch.testing.assert_close(step(model, tap, x), expected)

    @pytest.mark.parametrize("layer", ["block", "stem"])
    def test_inside_and_outside_a_checkpointed_part(self, net: Net, x: Tensor, layer: str) -> None:
        again = Net(reentrant=False)
        again.load_state_dict(net.state_dict())
        with FeatureTap(net, layer) as tap:
            expected = step(net, tap, x)
        with FeatureTap(again, layer) as tap:
            compiled: Any = torch.compile(again)
            torch.testing.assert_close(step(compiled, tap, x), expected)

    def test_in_place(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block", pool=True) as tap:
            expected = step(net, tap, x)
            net.compile(fullgraph=True)
            torch.testing.assert_close(step(net, tap, x), expected)

    def test_attached_after_the_first_call_is_told_or_works(self, net: Net, x: Tensor) -> None:
        model: Any = torch.compile(net)
        model(x)
        with FeatureTap(model, "block") as tap:
            model(x)
            with pytest.raises(RuntimeError, match=r"torch\.compiler\.reset"):
                _ = tap.features
            torch.compiler.reset()
            model(x)
            torch.testing.assert_close(tap.features["block"], net.block(net.stem(x)))


class TestParallel:
    def test_data_parallel_without_devices_is_the_module(self, net: Net, x: Tensor) -> None:
        model = nn.DataParallel(net)
        with FeatureTap(model, "block") as tap:
            model(x)
            assert tap.features["block"].shape == (4, 8, 4, 4)

    def test_a_replica_of_data_parallel_is_refused(self, net: Net, x: Tensor) -> None:
        with FeatureTap(net, "block"):
            replica = net.block._replicate_for_data_parallel()
            with pytest.raises(RuntimeError, match="use DistributedDataParallel"):
                replica(torch.rand(2, 6, 8, 8))

    def test_distributed_data_parallel(self, net: Net, x: Tensor, tmp_path: Any) -> None:
        with FeatureTap(net, "block") as tap:
            expected = step(net, tap, x)
        torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
        try:
            model = DistributedDataParallel(net)
            with FeatureTap(model, "block") as tap:
                torch.testing.assert_close(step(model, tap, x), expected)
        finally:
            torch.distributed.destroy_process_group()


class TestErrors:
    def test_a_wrong_name_lists_the_nearest(self, net: Net) -> None:
        with pytest.raises(ValueError, match=r"no layer 'blocks'.*did you mean 'block'"):
            FeatureTap(net, "blocks")
        with pytest.raises(ValueError, match=r"no layer 'layer5'.*did you mean .*'layer4'"):
            FeatureTap(torchvision.models.resnet18(), "layer5")
        with pytest.raises(ValueError, match=r"no layer 'layer4'.*did you mean 'backbone\.layer4'"):
            FeatureTap(nn.ModuleDict({"backbone": torchvision.models.resnet18()}), "layer4")

    def test_other_bad_arguments(self, net: Net) -> None:
        with pytest.raises(ValueError, match=r"layers: the Conv2d given is no part of the model"):
            FeatureTap(net, nn.Conv2d(1, 1, 1))
        with pytest.raises(ValueError, match="layers: got none"):
            FeatureTap(net)
        with pytest.raises(TypeError, match="layers: got 3"):
            FeatureTap(net, cast(Any, 3))
        with pytest.raises(TypeError, match=r"model: got 'resnet18'"):
            FeatureTap(cast(Any, "resnet18"), "layer4")

    def test_reading_too_early_says_what_to_do(self, net: Net, x: Tensor) -> None:
        tap = FeatureTap(net, "block")
        net(x)
        with pytest.raises(RuntimeError, match=r"not attached.*attach\(\)"):
            _ = tap.features
        with tap, pytest.raises(RuntimeError, match="run the model first"):
            _ = tap.features

    def test_repr(self, net: Net) -> None:
        tap = FeatureTap(net, "block", net.stem)
        assert repr(tap) == "FeatureTap('block', 'stem', pool=False, detached)"
        with tap:
            assert repr(tap).endswith("attached)")
