"""A network that looks: EfficientNet-Lite0, convolutions alone, made for telling 1,000 kinds of things apart in photographs.

    pictures (N, 3, S, S) ── stem, 16 blocks, head ──▶ features (N, 1280) ── classes ──▶ logits (N, 1000)

Tan & Le 2019, table 1, in the Lite form that its authors published in 2020: no squeeze-and-excitation, ReLU6 throughout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.modes import evaluating

STAGES = [  # blocks, kernel, stride of the first block, times wider inside, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM, FEATURES, CLASSES, SIZE = 32, 1280, 1000, 224


class SameConv(nn.Conv2d):
    """Padded with zeros so that stride s makes a side n into ceil(n / s); an odd one more goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        short = [max((-(-side // s) - 1) * s + k - side, 0) for side in (x.shape[-1], x.shape[-2])]
        return super().forward(F.pad(x, [part for n in short for part in (n // 2, n - n // 2)]))


def conv_bn(
    channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and the normalisation that stands for its constant."""
    return [
        SameConv(channels, out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=1e-3),
    ]


class InvertedResidual(nn.Module):
    """Widen, look around in each channel alone, narrow again; what came in is added where the shapes allow it.

    Source: Sandler et al. 2018, section 3.3 (the inverted residual).
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, times: int) -> None:
        super().__init__()
        inner = times * channels
        widen = [*conv_bn(channels, inner), nn.ReLU6()] if times > 1 else []
        look = [*conv_bn(inner, inner, kernel, stride, groups=inner), nn.ReLU6()]
        self.parts = nn.Sequential(*widen, *look, *conv_bn(inner, out))
        self.has_residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.parts(x) if self.has_residual else self.parts(x)


class EfficientNet(nn.Module):
    """Pictures in, a score for each class out; or, one layer earlier, 1,280 numbers that say what is to be seen.

    Args:
        num_classes: how many kinds it tells apart.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    """

    def __init__(self, num_classes: int = CLASSES) -> None:
        super().__init__()
        blocks, channels = [], STEM
        for repeats, kernel, stride, times, out in STAGES:
            for n in range(repeats):
                blocks.append(
                    InvertedResidual(channels, out, kernel, stride if n == 0 else 1, times)
                )
                channels = out
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3, 2), nn.ReLU6())
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(*conv_bn(channels, FEATURES), nn.ReLU6())
        self.classifier = nn.Linear(FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """What it sees, (N, 1280): the mean over all places of the last layer before the classes.

        Args:
            images: (N, 3, H, W), as `preprocess` makes them; sides of at least 32.
        Raises: ValueError for another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < 32:
            raise ValueError(
                f"images have shape {tuple(images.shape)}; give (N, 3, H, W) with sides of at least 32, "
                "as `preprocess` makes them."
            )
        return self.top(self.blocks(self.stem(images))).mean((-2, -1))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def preprocess(images: Tensor, size: int = SIZE) -> Tensor:
    """Bytes as a picture file holds them, as the network was trained to see them: (N, 3, size, size), from about -1 to 1.

    Args:
        images: (N, H, W) grey or (N, H, W, 3) coloured, uint8.
        size: side to stretch them to. Smaller is faster, and blurs what the network looks for.
    Raises: ValueError for another shape or dtype.

    >>> preprocess(torch.full((1, 28, 28), 255, dtype=torch.uint8), size=32)[0, :, 0, 0]
    tensor([1., 1., 1.])
    """
    if (
        images.dtype != torch.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[-1] != 3)
    ):
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; give uint8 (N, H, W) or (N, H, W, 3)."
        )
    colours = images[..., None].expand(*images.shape, 3) if images.ndim == 3 else images
    x = (colours.permute(0, 3, 1, 2).float() - 127) / 128
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


class FashionClassifier(nn.Module):
    """A small network for small grey pictures (N, 1, 28, 28): ten kinds of clothes, or the 64 numbers from which it tells them apart.

    Made pictures are compared with real ones in these numbers (`fidelity`), for which it is small, quick and the same for all.
    """

    def __init__(self, features: int = 64, num_classes: int = 10) -> None:
        super().__init__()
        conv = lambda i, o, stride: [
            nn.Conv2d(i, o, 3, stride, 1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(),
        ]
        layers = [
            *conv(4, 32, 1),
            *conv(32, 64, 2),
            *conv(64, 64, 1),
            *conv(64, 128, 2),
            nn.AdaptiveAvgPool2d(1),
        ]
        self.backbone = nn.Sequential(
            nn.PixelUnshuffle(2), *layers, nn.Flatten(), nn.Linear(128, features)
        )
        self.classifier = nn.Sequential(nn.ReLU(), nn.Linear(features, num_classes))

    def features(self, x: Tensor) -> Tensor:
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.backbone(x))


class FrozenBatchNorm(nn.BatchNorm2d):
    """A normalisation that keeps the mean and spread it has learnt, also while the rest is trained."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        return super().train(False)


def freeze_batch_norm(network: nn.Module) -> nn.Module:
    """Make all its normalisations `FrozenBatchNorm`: a few pictures would spoil what a million taught them. Changes it and returns it."""
    for path, norm in list(network.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            still = FrozenBatchNorm(norm.num_features, norm.eps)
            still.load_state_dict(norm.state_dict())
            network.set_submodule(path, still.eval())
    return network


@torch.no_grad()
def untrained_efficientnet(images: Tensor, size: int = SIZE) -> EfficientNet:
    """The same network with weights as chance drew them, for comparison.

    Its normalisations take mean and spread from these pictures, as training does along the way: without that, the signal of a fresh
    network fades to nothing on its way up.
    """
    model = EfficientNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of what follows, and of nothing before
    model.features(preprocess(images, size))
    return model.eval()


def extract_features(
    model: EfficientNet, images: Tensor, size: int = SIZE, batch: int = 32
) -> Tensor:
    """The features (N, 1280) of many pictures as `preprocess` takes them, a batch at a time; the model is not changed."""
    with evaluating(model):
        return torch.cat([model.features(preprocess(part, size)) for part in images.split(batch)])
