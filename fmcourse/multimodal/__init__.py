"""Text and images: encoders into one space (CLIP), captions of images, images from text."""

from fmcourse.multimodal.captions import Captioner, captioning
from fmcourse.multimodal.clip import (
    CLIP,
    BasicBlock,
    ImageEncoder,
    TextEncoder,
    image_text_contrastive,
    ranks,
)
from fmcourse.multimodal.prior import DiffusionPrior, condition_vector

__all__ = [
    "CLIP",
    "BasicBlock",
    "Captioner",
    "DiffusionPrior",
    "ImageEncoder",
    "TextEncoder",
    "captioning",
    "condition_vector",
    "image_text_contrastive",
    "ranks",
]
