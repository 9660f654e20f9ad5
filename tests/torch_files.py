"""Files as torch.save writes them, made without torch: the programs are put together instruction by instruction."""

import io
import math
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np

TYPES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
}
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def text(value):
    """The instruction that pushes a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    """The instruction that pushes an int of any size."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tuple_of(*programs):
    return b"(" + b"".join(programs) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def call(function, *arguments):
    return function + tuple_of(*arguments) + b"R"


def dict_of(**programs):
    return b"}(" + b"".join(text(key) + program for key, program in programs.items()) + b"u"


def storage(key, kind, count, *, stacked=False):
    """A reference to numbers outside of the pickle."""
    view = [b"N"] if stacked else []
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(count), *view) + b"Q"


def tensor(source, offset, shape, strides):
    """The call that torch makes to rebuild a tensor."""
    hooks = call(name("collections", "OrderedDict"))
    parts = (number(offset), tuple_of(*map(number, shape)), tuple_of(*map(number, strides)), b"\x89", hooks)
    return call(name("torch._utils", "_rebuild_tensor_v2"), source, *parts)


def program(value):
    """A finished program."""
    return b"\x80\x02" + value + b"."


def contiguous(shape):
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def describe(arrays, *, stacked=False):
    """The program of a state dict whose storages are named 0, 1, ..."""
    return {
        key: tensor(
            storage(str(i), TYPES[array.dtype.name], array.size, stacked=stacked),
            0,
            array.shape,
            contiguous(array.shape),
        )
        for i, (key, array) in enumerate(arrays.items())
    }


def zip_bytes(main, storages, *, folder="archive", compression=zipfile.ZIP_STORED, extra=()):
    """The archive: the program, its numbers, and further members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", main)
        archive.writestr(f"{folder}/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"{folder}/data/{key}", data)
        for member, data in extra:
            archive.writestr(f"{folder}/{member}", data)
        archive.writestr(f"{folder}/version", "3\n")
    return stream.getvalue()


def zipped(arrays, wrap=lambda state: state):
    """The bytes of ``torch.save(state_dict, ...)``."""
    main = program(wrap(dict_of(**describe(arrays))))
    return zip_bytes(main, {str(i): array.tobytes() for i, array in enumerate(arrays.values())})


def stacked(arrays, wrap=lambda state: state):
    """The bytes of the format before."""
    main = program(wrap(dict_of(**describe(arrays, stacked=True))))
    keys = [str(i) for i in range(len(arrays))]
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(PROTOCOL, 2), pickle.dumps(MACHINE, 2), main, pickle.dumps(keys, 2)]
    for array in arrays.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return b"".join(parts)


def arrays(seed=0):
    """A small state dict of several types."""
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.standard_normal(4).astype(np.float16),
        "norm.weight": rng.standard_normal(4).astype(BFLOAT16),
        "norm.mean": rng.standard_normal(4),
        "norm.count": np.array(7),
    }
