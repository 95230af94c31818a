"""EfficientNet-Lite0, a convolutional network trained on ImageNet's 1,000 classes of photographs.

    images (N, 3, S, S) ── stem, 16 blocks, top ──▶ features (N, 1280) ── linear ──▶ logits

Tan & Le 2019, table 1, in the Lite form that its authors published in 2020: no
squeeze-and-excitation, ReLU6 throughout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.modes import evaluating

STAGES = [  # blocks, kernel, stride of the first block, expansion, channels out
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
    """Convolution with TensorFlow's "same" padding: stride s makes a side n into ceil(n / s).

    torch pads both ends alike; here an odd zero goes to the right and below, as in the weights'
    training.
    """

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        padding = []
        for side in (x.shape[-1], x.shape[-2]):  # F.pad takes the last axis first
            outputs = -(-side // s)  # rounded up
            # All windows together reach over (outputs - 1) s + k pixels.
            missing = max((outputs - 1) * s + k - side, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, padding))


def conv_bn(
    channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its batch normalization, whose shift takes the place of a bias."""
    conv = SameConv(channels, out, kernel, stride, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out, eps=1e-3)]  # TensorFlow's eps, not torch's 1e-5


class InvertedResidual(nn.Module):
    """Expand the channels, a depthwise convolution, project back; plus a shortcut if shapes allow.

    Source: Sandler et al. 2018, section 3.3.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * channels
        expand = [*conv_bn(channels, inner), nn.ReLU6()] if expansion > 1 else []
        # groups=inner: each channel has a filter of its own, and only 1 by 1 convolutions mix them.
        depthwise = [*conv_bn(inner, inner, kernel, stride, groups=inner), nn.ReLU6()]
        # The projection has no activation: a ReLU6 there would lose what few channels carry.
        self.parts = nn.Sequential(*expand, *depthwise, *conv_bn(inner, out))
        self.has_residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.parts(x) if self.has_residual else self.parts(x)


class EfficientNet(nn.Module):
    """Images to logits of the classes; or, one layer earlier, to 1,280 features.

    Args:
        num_classes: number of classes.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    """

    def __init__(self, num_classes: int = CLASSES) -> None:
        super().__init__()
        blocks, channels = [], STEM
        for repeats, kernel, first_stride, expansion, out in STAGES:
            for n in range(repeats):
                stride = first_stride if n == 0 else 1  # a stage halves the resolution once at most
                blocks.append(InvertedResidual(channels, out, kernel, stride, expansion))
                channels = out
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3, 2), nn.ReLU6())
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(*conv_bn(channels, FEATURES), nn.ReLU6())
        self.classifier = nn.Linear(FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """The representation before the classifier, averaged over all positions: (N, 1280).

        Args:
            images: (N, 3, H, W), as `preprocess` makes them; sides of at least 32.
        Raises: ValueError for another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < 32:
            raise ValueError(
                f"images have shape {tuple(images.shape)}; give (N, 3, H, W) with sides of at "
                "least 32, as `preprocess` makes them."
            )
        return self.top(self.blocks(self.stem(images))).mean((-2, -1))  # (N, 1280), for any side

    def forward(self, images: Tensor) -> Tensor:
        """Images as for `features` -> logits (N, num_classes)."""
        return self.classifier(self.features(images))


def preprocess(images: Tensor, size: int = SIZE) -> Tensor:
    """Images of bytes as the network was trained on them: (N, 3, size, size), from about -1 to 1.

    Args:
        images: (N, H, W) grey or (N, H, W, 3) in colour, uint8.
        size: side to resize them to. Smaller is faster, and loses detail that the network uses.
    Raises: ValueError for another shape or dtype.

    >>> preprocess(torch.full((1, 28, 28), 255, dtype=torch.uint8), size=32)[0, :, 0, 0]
    tensor([1., 1., 1.])
    """
    is_grey = images.ndim == 3
    is_colour = images.ndim == 4 and images.shape[-1] == 3
    if images.dtype != torch.uint8 or not (is_grey or is_colour):
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; "
            "give uint8 (N, H, W) or (N, H, W, 3)."
        )
    if is_grey:
        images = images[..., None].expand(*images.shape, 3)  # equal red, green and blue; no copy
    # 127 and 128 are the mean and scale that the published weights were trained with.
    x = (images.permute(0, 3, 1, 2).float() - 127) / 128
    # antialias averages when shrinking, where plain bilinear would skip pixels.
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


class FashionClassifier(nn.Module):
    """A small classifier of small grey images (N, 1, 28, 28), and its feature extractor.

    Generated images are compared with real ones in its features (a Fréchet distance, `fidelity`):
    it is small and fast, and the same for everybody.
    """

    def __init__(self, features: int = 64, num_classes: int = 10) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.PixelUnshuffle(2),  # (N, 4, 14, 14): the first convolution at half the resolution
            *conv_bn_relu(4, 32, stride=1),
            *conv_bn_relu(32, 64, stride=2),  # (N, 64, 7, 7)
            *conv_bn_relu(64, 64, stride=1),
            *conv_bn_relu(64, 128, stride=2),  # (N, 128, 4, 4)
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, 128)
            nn.Linear(128, features),
        )
        # The ReLU belongs to the classifier, so that features may be negative.
        self.classifier = nn.Sequential(nn.ReLU(), nn.Linear(features, num_classes))

    def features(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) -> features (N, 64)."""
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) -> logits (N, num_classes)."""
        return self.classifier(self.backbone(x))


def conv_bn_relu(channels: int, out: int, stride: int) -> list[nn.Module]:
    """A 3 by 3 convolution, batch normalization, ReLU."""
    conv = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU()]


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch normalization that keeps its running mean and variance, also in training mode."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        """Stays in evaluation mode, whatever is asked for."""
        return super().train(False)


def freeze_batch_norm(network: nn.Module) -> nn.Module:
    """Make every batch normalization a `FrozenBatchNorm`; changes the network and returns it.

    For fine-tuning: batches of a few images would spoil the statistics of a million.
    """
    # A finished list, because the loop replaces modules of the tree that it goes through.
    for path, norm in list(network.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            frozen = FrozenBatchNorm(norm.num_features, norm.eps)
            frozen.load_state_dict(norm.state_dict())  # weight, bias, running mean and variance
            network.set_submodule(path, frozen.eval())
    return network


@torch.no_grad()
def untrained_efficientnet(images: Tensor, size: int = SIZE) -> EfficientNet:
    """The same network with random weights, for comparison.

    Its batch normalizations take mean and variance from these images, as training does along the
    way: without that, the activations of a fresh network fade to nothing from layer to layer.
    """
    # A new module is in training mode, in which batch norms record the statistics they see.
    model = EfficientNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average of what it sees from now on
    model.features(preprocess(images, size))
    return model.eval()


def extract_features(
    model: EfficientNet, images: Tensor, size: int = SIZE, batch: int = 32
) -> Tensor:
    """The features (N, 1280) of images as `preprocess` takes them, `batch` at a time."""
    with evaluating(model):
        return torch.cat([model.features(preprocess(part, size)) for part in images.split(batch)])
