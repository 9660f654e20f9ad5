"""State dicts in torch's formats: what is read, and that nothing in a file is ever run."""

import importlib.metadata
import importlib.util
import io
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest

from rnst_jax.features import WeightsError, pickles, unpickle
from tests import torch_files as make

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed; it is the oracle here")
READERS = [False, pytest.param(True, marks=needs_torch)]
FORMATS = [make.zipped, make.stacked]


def put(path, data):
    path.write_bytes(data)
    return path


def refused(path, *words, with_torch=False):
    with pytest.raises(WeightsError) as error:
        pickles.read(path, with_torch)
    message = str(error.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        wide = np.float32 if array.dtype.itemsize == 2 else array.dtype
        assert found[name].dtype == wide, name
        np.testing.assert_array_equal(found[name], array.astype(wide), err_msg=name)


class TestWhatIsRead:
    @pytest.mark.parametrize("with_torch", READERS)
    @pytest.mark.parametrize("form", FORMATS)
    def test_a_state_dict(self, tmp_path, form, with_torch):
        same(pickles.read(put(tmp_path / "w.pth", form(make.arrays())), with_torch), make.arrays())

    @pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema"])
    @pytest.mark.parametrize("with_torch", READERS)
    @pytest.mark.parametrize("form", FORMATS)
    def test_a_state_dict_in_a_checkpoint(self, tmp_path, form, with_torch, key):
        def wrap(state):
            return make.dict_of(epoch=make.number(3), name=make.text("x"), **{key: state})

        same(pickles.read(put(tmp_path / "w.pth", form(make.arrays(), wrap)), with_torch), make.arrays())

    @pytest.mark.parametrize("with_torch", READERS)
    def test_views_of_one_storage(self, tmp_path, with_torch):
        numbers = np.arange(12, dtype=np.float32)
        source = make.storage("0", "FloatStorage", 12)
        state = make.dict_of(
            turned=make.tensor(source, 0, (4, 3), (1, 4)),
            part=make.tensor(source, 5, (2,), (3,)),
            scalar=make.tensor(source, 11, (), ()),
            empty=make.tensor(source, 0, (0, 3), (3, 1)),
        )
        path = put(tmp_path / "w.pth", make.zip_bytes(make.program(state), {"0": numbers.tobytes()}))
        found = pickles.read(path, with_torch)
        np.testing.assert_array_equal(found["turned"], numbers.reshape(3, 4).T)
        np.testing.assert_array_equal(found["part"], [5, 8])
        assert found["scalar"] == 11
        assert found["empty"].shape == (0, 3)

    @pytest.mark.parametrize("wrapper", ["parameter", "old parameter", "pairs", "metadata"])
    def test_other_ways_to_write_the_same(self, tmp_path, wrapper):
        # As torch 0.1 wrote parameters, Python 2 ordered dicts, and state_dict() its versions.
        weight = make.tensor(make.storage("0", "FloatStorage", 2), 0, (2,), (1,))
        ordered = make.name("collections", "OrderedDict")
        if wrapper == "parameter":
            state = make.call(make.name("torch._utils", "_rebuild_parameter"), weight, b"\x88", make.call(ordered))
            state = make.dict_of(w=state)
        elif wrapper == "old parameter":
            old = make.name("torch.nn.parameter", "Parameter") + make.tuple_of(weight) + b"\x81"
            state = make.dict_of(w=old + make.tuple_of(b"\x88", b"\x89", b"N") + b"b")
        elif wrapper == "pairs":
            state = make.call(ordered, b"](](" + make.text("w") + weight + b"ee")
        else:
            versions = make.dict_of(_metadata=make.dict_of(version=make.number(1)))
            state = make.call(ordered) + make.text("w") + weight + b"s" + versions + b"b"
        numbers = np.array([1.5, -2], np.float32)
        path = put(tmp_path / "w.pth", make.zip_bytes(make.program(state), {"0": numbers.tobytes()}))
        same(pickles.read(path, False), {"w": numbers})

    @needs_torch
    @pytest.mark.parametrize("zip_format", [True, False])
    def test_files_that_torch_wrote(self, tmp_path, zip_format):
        import torch

        generator = torch.Generator().manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).half()
        state = model.state_dict() | {
            "turned": torch.randn(5, 3, generator=generator).to(torch.bfloat16).t(),
            "parameter": torch.nn.Parameter(torch.randn(6, generator=generator)[2:]),
            "double": torch.randn(2, generator=generator).double(),
        }
        path = tmp_path / "w.pth"
        torch.save({"state_dict": state, "epoch": 1}, path, _use_new_zipfile_serialization=zip_format)
        ours, theirs = pickles.read(path, False), pickles.read(path, True)
        assert list(ours) == list(state)
        same(ours, theirs)
        np.testing.assert_array_equal(ours["turned"], state["turned"].float().numpy())

    def test_torch_is_left_out_where_it_is_missing_or_unsafe(self, tmp_path, monkeypatch):
        path = put(tmp_path / "w.pth", make.zipped(make.arrays()))

        def never(path):
            raise AssertionError("torch was used")

        monkeypatch.setattr(pickles, "_read_with_torch", never)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        same(pickles.read(path), make.arrays())
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.5.1+cpu")
        same(pickles.read(path), make.arrays())
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.10.0")
        with pytest.raises(AssertionError, match="torch was used"):
            pickles.read(path)


class Payload:
    """A pickle of this runs a command when it is loaded in the ordinary way."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class TestNothingIsRun:
    @staticmethod
    def variants(payload):
        """The same payload wherever a file can hold one."""
        bare = pickle.dumps(payload, 2)
        inner = bare[2:-1]
        wrapped = make.dict_of(state_dict=make.dict_of(w=inner))
        marker = payload.marker
        return {
            "bare": bare,
            "protocol 4": pickle.dumps(payload, 4),
            "zipped": make.zip_bytes(bare, {}),
            "zipped, protocol 4": make.zip_bytes(pickle.dumps(payload, 4), {}),
            "inside": make.zip_bytes(make.program(wrapped), {}),
            "beside": make.zipped(make.arrays(), lambda state: make.dict_of(state_dict=state, extra=inner)),
            "as state": make.zipped(make.arrays(), lambda state: b"ccollections\nOrderedDict\n)R" + inner + b"b"),
            "stacked": make.stacked(make.arrays(), lambda state: make.dict_of(state_dict=state, extra=inner)),
            "first": make.stacked(make.arrays()).replace(pickle.dumps(make.MAGIC, 2), bare, 1),
            "last": make.stacked(make.arrays()) + bare,
            "instance": make.zip_bytes(b"(S\"touch '%s'\"\nios\nsystem\n." % str(marker).encode(), {}),
            "object": make.zip_bytes(b"(cos\nsystem\nS\"touch '%s'\"\no." % str(marker).encode(), {}),
        }

    @pytest.mark.parametrize("with_torch", READERS)
    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("variant", variants(Payload("")))
    def test_a_pickle_that_would_run_a_command(self, tmp_path, variant, with_torch):
        marker = tmp_path / "ran"
        path = put(tmp_path / "evil.pth", self.variants(Payload(marker))[variant])
        if with_torch and variant == "last":
            pytest.skip("torch does not look behind the last storage; nothing is run either")
        told = refused(path, "safely", with_torch=with_torch)
        assert "weights_only" not in told, "this tells the user how to run it"
        assert not marker.exists()

    def test_the_payload_would_work(self, tmp_path):
        marker = tmp_path / "ran"
        pickle.loads(self.variants(Payload(marker))["bare"])
        assert marker.exists(), "the tests above test nothing"

    @pytest.mark.parametrize(
        "name",
        ["builtins eval", "builtins getattr", "torch load", "torch.hub load", "collections defaultdict", "os system"],
    )
    def test_names_are_refused_before_any_use(self, name):
        with pytest.raises(ValueError, match=f"asks for '{name}'"):
            unpickle.load(io.BytesIO(b"c" + name.replace(" ", "\n").encode() + b"\n."))

    def test_a_name_is_not_imported(self, tmp_path, monkeypatch):
        (tmp_path / "rnst_evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        monkeypatch.syspath_prepend(tmp_path)
        refused(put(tmp_path / "w.pth", make.zip_bytes(b"crnst_evil_module\nf\n.", {})), "rnst_evil_module f")
        assert not (tmp_path / "ran").exists()

    def test_an_admitted_name_cannot_be_changed_or_called_wrongly(self):
        for wrong in (
            make.name("collections", "OrderedDict") + make.dict_of(popitem=b"N") + b"b",  # set an attribute of it
            make.name("torch", "FloatStorage") + b")R",  # call a type that is only a label
            make.text("collections OrderedDict") + b")R",  # call a text
            make.call(make.name("torch._utils", "_rebuild_parameter"), b"N"),
            make.call(make.name("torch._utils", "_rebuild_tensor_v2"), b"N", b"N", b"N", b"N"),
        ):
            with pytest.raises(ValueError, match=r"damaged|has a|calls"):
                unpickle.load(io.BytesIO(make.program(wrong)))


def one(count=4, offset=0, shape=(4,), strides=(1,), key="0", data=None):
    """An archive with one tensor that is described so."""
    state = make.dict_of(w=make.tensor(make.storage(key, "FloatStorage", count), offset, shape, strides))
    return make.zip_bytes(make.program(state), {"0": bytes(16) if data is None else data})


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"shape": (5,)}, "reaches outside"),
            ({"offset": 1}, "reaches outside"),
            ({"offset": 1 << 70}, "reaches outside"),
            ({"shape": (2, 2), "strides": (3, 1)}, "reaches outside"),
            ({"shape": (1 << 40, 1 << 40), "strides": (0, 0)}, "reaches outside"),
            ({"offset": -1}, "natural numbers"),
            ({"strides": (-1,)}, "natural numbers"),
            ({"shape": (4, 1)}, "impossible shape"),
            ({"shape": (1,) * 40, "strides": (1,) * 40}, "impossible shape"),
            ({"count": 5}, "another size than stated"),
            ({"count": 1 << 60}, "another size than stated"),
            ({"count": -4, "shape": (0,)}, "no length"),
            ({"key": "1"}, "missing"),
            ({"key": "../version"}, "missing"),
            ({"data": bytes(12)}, "another size than stated"),
        ],
    )
    def test_a_tensor_that_is_not_inside_its_storage(self, tmp_path, change, words):
        refused(put(tmp_path / "w.pth", one(**change)), words)

    def test_a_zip_bomb(self, tmp_path):
        data = make.zip_bytes(make.program(b"}"), {"0": bytes(10 << 20)}, compression=zipfile.ZIP_DEFLATED)
        assert len(data) < 100_000
        refused(put(tmp_path / "w.pth", data), "compressed")

    def test_members_that_share_their_bytes(self, tmp_path):
        # Two entries of the directory point to one member: more bytes come out than the file has.
        data = bytearray(make.zip_bytes(make.program(b"}"), {"0": bytes(4000), "1": bytes(4000)}))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            first, second = (archive.getinfo(f"archive/data/{i}") for i in range(2))
        begin = data.index(b"PK\1\2", second.header_offset)
        entry = data.index(b"archive/data/1", begin) - 46
        struct.pack_into("<I", data, entry + 42, first.header_offset)
        del data[second.header_offset : second.header_offset + 4000]
        refused(put(tmp_path / "w.pth", bytes(data)), "safely")

    @pytest.mark.parametrize(
        ("extra", "words"),
        [([("constants.pkl", b"")], "TorchScript"), ([("../other/x", b"")], ""), ([("data.pkl", b"N.")], "twice")],
    )
    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_other_archives(self, tmp_path, extra, words):
        data = make.zip_bytes(make.program(make.dict_of(a=b"N")), {}, extra=extra)
        refused(put(tmp_path / "w.pth", data), words)

    def test_an_ordinary_zip(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
            archive.writestr("a/readme.txt", "hello")
        refused(tmp_path / "w.pth", "not written by torch.save")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"<html>404</html>", "formats"),
            (pickle.dumps({"a": 1}, 2), "formats"),
            (b"\x80", "safely"),
            (make.stacked(make.arrays())[:-1], "ends early"),
            (make.stacked(make.arrays())[:700], "safely"),
            (make.stacked(make.arrays()) + b"x", "goes on"),
            (make.zipped(make.arrays())[:-30], "safely"),
            (make.stacked({}), "no tensors"),
            (make.zip_bytes(make.program(b"]"), {}), "no tensors"),
        ],
    )
    def test_other_files(self, tmp_path, data, words):
        refused(put(tmp_path / "w.pth", data), words)

    def test_missing_and_too_large(self, tmp_path):
        refused(tmp_path / "none.pth", "no such weight file")
        with (tmp_path / "large.pth").open("wb") as stream:
            stream.truncate(pickles.MAX_BYTES + 1)  # takes no space
        refused(tmp_path / "large.pth", "larger than 4 GiB")

    def test_tensors_that_multiply_one_storage(self, tmp_path, monkeypatch):
        source = make.storage("0", "HalfStorage", 1000)
        state = make.dict_of(**{f"w{i}": make.tensor(source, 0, (1000,), (1,)) for i in range(9)})
        path = put(tmp_path / "w.pth", make.zip_bytes(make.program(state), {"0": bytes(2000)}))
        assert len(pickles.read(path, False)) == 9
        monkeypatch.setattr(pickles, "MAX_BYTES", 17_000)
        refused(path, "together")

    def test_programs_that_never_end_or_nest(self, monkeypatch):
        deep = b")" + b"\x85" * 100_000 + b"N"
        for wrong, words in (
            (b"}" + deep + b"s", "keys"),  # a key whose hash would overflow the C stack
            (b"}" + b"]" * 5 + b"u", "damaged"),
            (b"\x8b\xff\xff\xff\x7f", "not enough|length|bytes|long4"),
            (b"\x8e" + b"\xff" * 7 + b"\x7f", "BINBYTES8|not enough|bytes"),
        ):
            with pytest.raises(ValueError, match=words):
                unpickle.load(io.BytesIO(make.program(wrong)))
        monkeypatch.setattr(unpickle, "_STEPS", 1000)
        with pytest.raises(ValueError, match="more than 1,000 steps"):
            unpickle.load(io.BytesIO(make.program(b"]" + b"N0" * 1000)))

    def test_a_list_of_pairs_is_used_once(self):
        ordered = make.name("collections", "OrderedDict")
        pairs = b"](](" + make.text("a") + b"Neeq\x00"
        found = unpickle.load(io.BytesIO(make.program(b"]" + ordered + pairs + b"\x85R" + b"a")))
        assert found == [{"a": None}]
        again = b"](" + ordered + pairs + b"\x85R" + ordered + b"h\x00\x85R" + b"e"
        assert unpickle.load(io.BytesIO(make.program(again))) == [{"a": None}, {}]

    @pytest.mark.parametrize("form", FORMATS)
    def test_any_damage_gives_an_answer_or_a_refusal(self, tmp_path, form):
        whole = form(make.arrays())
        rng = np.random.default_rng(3)
        answers = 0
        for _ in range(400):
            data = bytearray(whole)
            for position in rng.integers(0, len(data), rng.integers(1, 4)):
                data[position] = rng.integers(256)
            path = put(tmp_path / "w.pth", bytes(data[: rng.integers(1, len(data)) if rng.random() < 0.2 else None]))
            try:
                pickles.read(path, False)
                answers += 1
            except WeightsError:
                pass
        assert answers < 400


def test_the_reader_uses_nothing_of_pickle():
    # Whatever else changes: Python's own machine must not come back into these two files.
    for module in (unpickle, pickles):
        source = pathlib.Path(str(module.__file__)).read_text()
        for word in ("pickle.load", "pickle.Unpickler", "eval(", "exec(", "__import__", "import_module"):
            assert f" {word}" not in source.replace("unpickle.load", ""), (module.__name__, word)
