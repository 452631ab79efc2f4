"""What every kind of checkpoint is read as."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError

from ..adapter import Adapter
from ..naming import NameTable
from .tensor import FLOAT_DTYPES, SourceTensor


@dataclass(frozen=True)
class Source:
    """A checkpoint: configuration, tensors in the order of the file, tokenizer.

    tensors: may name a tensor twice (in two shards). names: the table that its names follow.
    tokenizer: text in the format of the `tokenizers` library. adapter: merged into the parameters when they are loaded.
    """

    path: Path
    config: BaseConfig
    tensors: tuple[SourceTensor, ...]
    names: NameTable
    tokenizer: str
    chat_template: str | None
    adapter: Adapter | None = None

    def dtype(self) -> str:
        """Name of the dtype that all parameters share, else float32. Raises WeightsError for other types."""
        matches = ((tensor, self.names.match(tensor.name)) for tensor in self.tensors)
        parameters = [tensor for tensor, match in matches if match is not None and match[0].leaf is not None]
        strange = [f"{tensor.name} ({tensor.dtype})" for tensor in parameters if tensor.dtype not in FLOAT_DTYPES]
        if strange:
            raise WeightsError(
                f"{self.path}: {len(strange)} tensors have an unsupported dtype, first {strange[0]}; "
                f"supported: {', '.join(FLOAT_DTYPES)}"
            )
        found = {tensor.dtype for tensor in parameters}
        return found.pop() if len(found) == 1 else "float32"
