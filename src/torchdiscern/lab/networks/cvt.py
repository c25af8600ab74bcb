"""The paper's CvT-13, a transformer with convolutions for tokens, over transformers' own parts."""

from typing import Any, cast

from torch import Tensor, nn

from torchdiscern.lab.networks.weights import fetching

PRETRAINED = "microsoft/cvt-13"
SMALL_IMAGE = 64  # a stem of stride 4 would leave images up to here too few tokens


class CvT(nn.Module):
    """Stages of 1, 2 and 10 blocks; the class token of the last one is what the classifier sees.

    Args:
        backbone: transformers' CvtModel.
        num_classes: C.
        dropout: probability, before the classifier.

    Layers: `backbone`, `norm`, `pooled` (the class token `[B, D]`, D = 6 width), `dropout`, `classifier`.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        config = cast(Any, backbone.config)
        dim = config.embed_dim[-1]
        self.backbone = backbone
        self.norm = nn.LayerNorm(dim)
        self.pooled = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.classifier.weight, std=config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        _, token = self.backbone(images, return_dict=False)
        return cast(Tensor, self.classifier(self.dropout(self.pooled(self.norm(token)[:, 0]))))


def cvt13(
    num_classes: int,
    *,
    channels: int = 3,
    size: int = 32,
    width: int = 64,
    dropout: float = 0.0,
    pretrained: bool = False,
) -> CvT:
    """CvT-13 for images of `size`: up to 64 pixels its first stage keeps every pixel as a token.

    Args:
        num_classes: C.
        channels: of the images.
        size: side of the images in pixels.
        width: features of the first stage; the later ones have three and six times as many.
        dropout: probability, before the classifier.
        pretrained: start from the published ImageNet weights, which are made for larger images.

    Raises:
        OSError: the weights are not here and could not be fetched.
    """
    from transformers import CvtConfig, CvtForImageClassification, CvtModel

    if pretrained:
        with fetching("cvt13") as offline:
            found: Any = CvtForImageClassification.from_pretrained(PRETRAINED, local_files_only=offline)
        network = CvT(found.cvt, num_classes, dropout)
        network.norm.load_state_dict(found.layernorm.state_dict())
        return network
    options: dict[str, Any] = {"num_channels": channels, "embed_dim": [width, 3 * width, 6 * width]}
    if size <= SMALL_IMAGE:
        options |= {"patch_sizes": [3, 3, 3], "patch_stride": [1, 2, 2], "patch_padding": [1, 1, 1]}
    return CvT(CvtModel(CvtConfig(**options)), num_classes, dropout)
