"""Memory that outlives a session: texts and their embeddings in one file, found by meaning."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from fmcourse.apps.retrieval import Embed, best
from fmcourse.apps.tools import Tool, make_tool
from fmcourse.files import damage, write_atomically
from fmcourse.pretrained.weight_files import open_weights


@dataclass(frozen=True)
class Memory:
    """One remembered text, and where it comes from: "user", "agent", a tool's name."""

    text: str
    source: str = "user"


class VectorStore:
    """Memories and their unit vectors; each `add` writes the file, whole or not at all.

    One process writes at a time: of two, the later one's file stays.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "memory.safetensors"
    >>> letters = lambda texts: torch.stack([
    ...     torch.tensor([float("a" in text), float("b" in text)]) for text in texts])
    >>> VectorStore(path, letters).add("a cat")
    >>> [memory.text for memory in VectorStore(path, letters).search("that")]
    ['a cat']
    """

    def __init__(self, path: str | Path, embed: Embed) -> None:
        """Opens the file, if it is there. Raises: ValueError if it is damaged."""
        self.path, self.embed = Path(path), embed
        self.memories: list[Memory] = []
        self.vectors: Tensor | None = None  # (N, D), once there is one
        if self.path.exists():
            self.memories, self.vectors = read_store(self.path)

    def add(self, text: str, source: str = "user") -> None:
        """Remember a text; one that is there already is not added again.

        Raises: ValueError for an empty text, or vectors of another width than those in the file.
        """
        if not text.strip():
            raise ValueError("an empty text cannot be remembered; give some words.")
        memory = Memory(text, source)
        if memory in self.memories:
            return
        vector = self.embed([text])
        if self.vectors is not None and vector.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"{self.path} holds vectors of width {self.vectors.shape[1]}, this embedding has "
                f"{vector.shape[1]}; open the file with the embedding that made it."
            )
        vectors = vector if self.vectors is None else torch.cat([self.vectors, vector])
        memories = [*self.memories, memory]
        # First the file: if it cannot be written, nothing is remembered here either.
        texts = json.dumps([asdict(memory) for memory in memories])
        write_atomically(
            self.path,
            lambda file: save_file({"vectors": vectors.contiguous()}, file, {"memories": texts}),
        )
        self.memories, self.vectors = memories, vectors

    def search(self, query: str, k: int = 3) -> list[Memory]:
        """The k memories nearest to the query, the nearest first."""
        if self.vectors is None:
            return []
        scores = self.vectors @ self.embed([query])[0]
        return [self.memories[n] for n in best(scores, k)]


def read_store(path: Path) -> tuple[list[Memory], Tensor]:
    """What the file holds. Raises: ValueError if it is damaged, or no store."""
    with open_weights(path) as file:
        try:
            memories = [Memory(**each) for each in json.loads(file.metadata()["memories"])]
            vectors = file.get_tensor("vectors")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(damage(path, f"no memories in it: {error}")) from None
    if vectors.ndim != 2 or len(vectors) != len(memories):
        shape = tuple(vectors.shape)
        raise ValueError(damage(path, f"{len(memories)} memories, vectors of shape {shape}"))
    return memories, vectors


def memory_tools(store: VectorStore, k: int = 3) -> Sequence[Tool]:
    """The tools `remember` and `recall`.

    What is recalled may have been written by anybody, so it is not trusted; and once text from
    outside was read, a person confirms what is remembered: a page must not plant orders for the
    next session.
    """

    def remember(text: str) -> str:
        """Keep a short note for later sessions.

        Args:
            text: the note, a whole sentence.
        """
        store.add(text, "agent")
        return "remembered"

    def recall(query: str) -> str:
        """Find notes of earlier sessions.

        Args:
            query: a few words on what the note is about.
        """
        return "\n".join(memory.text for memory in store.search(query, k)) or "no note"

    return make_tool(remember, trusted=True, confirm="tainted"), make_tool(recall)
