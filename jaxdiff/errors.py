"""Every error that the library raises on purpose. The command line prints them as one line."""


class JaxdiffError(Exception):
    """Base of all errors of this library."""


class ConfigError(JaxdiffError, ValueError):
    """A configuration value is impossible or not supported; the message names it."""


class InputError(JaxdiffError, ValueError):
    """A query, a tool list or an option given by the user cannot be used; the message names value and place."""


class SchemaError(InputError):
    """A tool's parameters are not a JSON Schema object that can be read. `pointer` is where (RFC 6901)."""

    def __init__(self, message: str, pointer: str = ""):
        super().__init__(f"{message} (at {pointer or '/'})")
        self.pointer = pointer


class UnsupportedSchema(SchemaError):
    """The schema is valid but uses `keyword`, which the scaffold cannot guarantee."""

    def __init__(self, keyword: str, pointer: str, detail: str = ""):
        super().__init__(f"unsupported schema keyword {keyword!r}" + (f": {detail}" if detail else ""), pointer)
        self.keyword = keyword


class UnsupportedLanguage(InputError):
    """A pattern, a format or a range of numbers that cannot be held as an automaton; the message names it."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"unsupported language {name!r}: {reason}")
        self.name = name
        self.reason = reason


class FillError(JaxdiffError, ValueError):
    """A required value could not be made valid. Names the field and the text that was read for it."""

    def __init__(self, field: str, text: str, reason: str):
        super().__init__(f"cannot fill {field!r} from {text!r}: {reason}")
        self.field = field
        self.text = text


class ScaffoldBug(JaxdiffError, RuntimeError):
    """A value that was made by construction is not valid: an error of this library, never of its user."""

    def __init__(self, what: str):
        super().__init__(f"{what}; this is a bug of jaxdiff, please report it with the schema")


class WeightsError(JaxdiffError):
    """Weights are missing, damaged, incomplete or of another architecture."""


class DownloadError(WeightsError):
    """Weights could not be fetched."""


class HeadMismatch(WeightsError):
    """A head was trained for another base than the one that is loaded."""


class TrainingStopped(JaxdiffError):
    """A run was asked to stop, saved its state and can be gone on with. `step` is the number of updates done."""

    def __init__(self, step: int, reason: str):
        super().__init__(f"stopped at step {step} by {reason}; the same command goes on from there")
        self.step = step


class TrainingDiverged(JaxdiffError):
    """A loss was not a number, or infinite; the batch lies in `path`."""

    def __init__(self, step: int, what: str, path: object):
        super().__init__(f"step {step}: {what}; its batch is in {path}, the last good checkpoint is kept")
        self.step = step
        self.path = path
