"""A reader of pickles that can describe tensors and nothing else.

A pickle is a program for a stack machine; Python's own machine imports and calls whatever the program names. This
one knows the few instructions of a saved state dict and a fixed list of names. It imports nothing and calls nothing
that the file names: where torch would build a tensor it returns a `Tensor`, a description of one. Source of the
instruction set: Python's `pickletools`; of the tensors' encoding: ``torch.serialization`` and ``torch._utils``.
"""

import pickletools
import struct
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

_STEPS = 2_000_000
"""The longest program that is run; 151 convolutions with their norms take some 50,000 steps."""

_STORAGES = {
    "torch FloatStorage": np.dtype(np.float32),
    "torch DoubleStorage": np.dtype(np.float64),
    "torch HalfStorage": np.dtype(np.float16),
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch LongStorage": np.dtype(np.int64),
    "torch IntStorage": np.dtype(np.int32),
    "torch ShortStorage": np.dtype(np.int16),
    "torch CharStorage": np.dtype(np.int8),
    "torch ByteStorage": np.dtype(np.uint8),
    "torch BoolStorage": np.dtype(np.bool_),
}
_CALLS = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class Storage(NamedTuple):
    """A run of numbers kept elsewhere in the file."""

    key: str
    dtype: np.dtype
    count: int


class Tensor(NamedTuple):
    """A window on a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A global that the file names: module and name with a blank between. It stays a piece of text."""

    text: str


def load(stream: BinaryIO, storages: dict[str, Storage] | None = None) -> Any:
    """Run one pickle; the stream is left behind its end.

    Args:
        stream: bytes; it must not allocate what it cannot deliver (BytesIO and mmap do not).
        storages: filled with every storage that the pickle names, by key.

    Returns:
        Dicts, lists, tuples, strings, numbers, booleans, None, and `Tensor` in place of tensors.

    Raises:
        ValueError: the pickle is damaged, or asks for anything else; the message names what it asked for.

    Examples:
        >>> import io, os, pickle
        >>> load(io.BytesIO(pickle.dumps({"epoch": 3})))
        {'epoch': 3}
        >>> load(io.BytesIO(pickle.dumps(os.getcwd, protocol=2)))
        Traceback (most recent call last):
        ValueError: asks for 'posix getcwd', which is no part of a state dict
    """
    machine = _Machine({} if storages is None else storages)
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step > _STEPS:
                raise ValueError(f"more than {_STEPS:,} steps, which no state dict needs")
            machine.step(opcode.name, argument)
        (result,) = machine.stack
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__}: {error})") from error
    return result


class _Machine:
    """The stack, the marks on it, and the memo."""

    def __init__(self, storages: dict[str, Storage]) -> None:
        self.storages = storages
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Do one instruction."""
        stack = self.stack
        match opcode:
            case "STOP" | "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "POP":
                self.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(_CONSTANTS[opcode])
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self.above()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                stack.append(tuple(self.pop() for _ in range(count))[::-1])
            case "LIST":
                stack.append(self.above())
            case "DICT":
                stack.append(_dict(self.above()))
            case "APPEND":
                value = self.pop()
                self.top(list).append(value)
            case "APPENDS":
                values = self.above()
                self.top(list).extend(values)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.top(dict).update(_dict([key, value]))
            case "SETITEMS":
                values = self.above()
                self.top(dict).update(_dict(values))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[int(argument)] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[int(argument)])
            case "GLOBAL":
                stack.append(_name(argument))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if not isinstance(module, str) or not isinstance(name, str):
                    raise ValueError("names a global by something that is no text")
                stack.append(_name(f"{module} {name}"))
            case "REDUCE" | "NEWOBJ":
                arguments, name = self.pop(), self.pop()
                stack.append(_call(name, arguments))
            case "BUILD":
                # The state is what torch notes beside the tensors (versions, hooks); none of it is wanted.
                self.pop()
                self.top(dict, Tensor)
            case "BINPERSID":
                storage = _storage(self.pop())
                if self.storages.setdefault(storage.key, storage) != storage:
                    raise ValueError("states a storage twice in different ways")
                stack.append(storage)
            case _:
                raise ValueError(f"uses {opcode}, which no state dict needs")

    def pop(self) -> Any:
        """Take the uppermost value, which must lie above the last mark."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("nothing above the mark")
        return self.stack.pop()

    def above(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        position = self.marks.pop()
        values = self.stack[position:]
        del self.stack[position:]
        return values

    def top(self, *kinds: type) -> Any:
        """The uppermost value, left where it is."""
        if not isinstance(self.stack[-1], kinds):
            raise TypeError(f"{type(self.stack[-1]).__name__} where {kinds[0].__name__} is due")
        return self.stack[-1]


def _dict(flat: list[Any]) -> dict[str | int, Any]:
    # Other keys are never needed, and hashing a tuple nested a million deep would overflow the C stack.
    keys = flat[::2]
    if len(flat) % 2 or not all(isinstance(key, str | int) for key in keys):
        raise ValueError("has a dict whose keys are neither names nor numbers")
    return dict(zip(keys, flat[1::2], strict=True))


def _name(text: str) -> _Name:
    if text not in _STORAGES and text not in _CALLS:
        raise ValueError(f"asks for {text[:80]!a}, which is no part of a state dict")
    return _Name(text)


def _call(name: Any, arguments: Any) -> Any:
    """What a call would give, as a description."""
    if not isinstance(name, _Name) or name.text not in _CALLS or type(arguments) is not tuple:
        raise ValueError("calls something that is no part of a state dict")
    if name.text == "collections OrderedDict":
        flat = []
        if arguments:  # as Python 2 wrote it: a list of pairs
            flat = [part for key, value in arguments[0] for part in (key, value)]
            # Used once: a long list that thousands of calls refer to would multiply.
            arguments[0].clear()
        return _dict(flat)
    if name.text in ("torch._utils _rebuild_parameter", "torch.nn.parameter Parameter"):
        if not arguments or not isinstance(arguments[0], Tensor):
            raise ValueError("has a parameter that is no tensor")
        return arguments[0]
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Storage):
        raise ValueError("has a tensor without numbers")
    return _tensor(storage, offset, shape, strides)


def _tensor(storage: Storage, offset: Any, shape: Any, strides: Any) -> Tensor:
    """A tensor that lies inside its storage."""
    if len(shape) != len(strides) or len(shape) > 32:
        raise ValueError("has a tensor of impossible shape")
    if not all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)):
        raise ValueError("has a tensor whose shape is not made of natural numbers")
    last, size = offset, 1
    for length, stride in zip(shape, strides, strict=True):
        last, size = last + (length - 1) * stride, size * length
    # A stride of zero could claim more elements than there are numbers.
    if size and (last >= storage.count or size > storage.count):
        raise ValueError(f"has a tensor of shape {tuple(shape)} that reaches outside of its {storage.count} numbers")
    return Tensor(storage, offset if size else 0, tuple(shape), tuple(strides))


def _storage(identity: Any) -> Storage:
    """A storage by what torch writes in place of it: ("storage", type, key, device, count[, view])."""
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError("refers to something outside of the pickle that is no storage")
    _, name, key, _, count, *view = identity
    if not isinstance(name, _Name) or name.text not in _STORAGES:
        raise ValueError("has a storage of unknown type")
    if not isinstance(key, str) or type(count) is not int or count < 0 or any(part is not None for part in view):
        raise ValueError("has a storage that is a view or has no length")
    return Storage(key, _STORAGES[name.text], count)
