"""Weight files converted, fetched from a server on this machine, listed and verified."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import types

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rnst_jax import features
from rnst_jax.cli.main import main
from rnst_jax.features import WeightsError, catalogue, download, store, weights
from rnst_jax.features import convert as converting
from rnst_jax.features import fetch as fetching
from tests import torch_files as make
from tests.mirror import Mirror
from tests.scans import files

TENSORS = make.arrays()
PTH = make.zipped(TENSORS)
SHA = hashlib.sha256(PTH).hexdigest()
FILE = f"tiny-{SHA[:8]}.pth"
CHUNK = 100
HALF = len(PTH) // 2 // CHUNK * CHUNK
"""What is kept of the first half: whole chunks."""
STORED = {name: array.astype(np.float32) for name, array in TENSORS.items() if name != "norm.count"}


def canonical(name, tensors):
    """A stand-in for the mapping of names: a model of four tensors."""
    if wrong := sorted(set(STORED) - set(tensors)):
        raise WeightsError(f"not the tensors of {name}: {', '.join(wrong)} missing")
    return {key: tensors[key].astype(np.float32) for key in STORED}


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "_CHUNK", CHUNK)
    server = Mirror(PTH)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, a model that torchvision does not have, and an empty current folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "user" / "rnst-jax")
    monkeypatch.setattr(converting, "canonical", canonical)
    monkeypatch.setitem(
        catalogue.MODELS, "tiny", types.SimpleNamespace(file=FILE, url=f"https://mirror.invalid/{FILE}")
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "user" / "rnst-jax"


@pytest.fixture
def official(cache, mirror, monkeypatch):
    """The same, and the server is the model's official address."""
    monkeypatch.setitem(catalogue.MODELS, "tiny", types.SimpleNamespace(file=FILE, url=mirror.url("good", FILE)))
    return mirror


def put(name, data=PTH):
    path = pathlib.Path(name)
    path.write_bytes(data)
    return path


def in_cache(cache):
    """Everything below the cache, hidden or not."""
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def complete(cache):
    assert in_cache(cache) == ["MANIFEST.json", "tiny.safetensors"]
    assert not (cache / ".downloads").exists()
    found = load_file(cache / "tiny.safetensors")
    assert found.keys() == STORED.keys()
    for name, array in STORED.items():
        np.testing.assert_array_equal(found[name], array)
    assert weights.verify("tiny") == cache / "tiny.safetensors"
    return json.loads((cache / "MANIFEST.json").read_text())["tiny"]


def flip(path, position=-3):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


class TestConvert:
    @pytest.mark.parametrize("form", ["zipped", "stacked", "safetensors", "bfloat16"])
    def test_each_format(self, cache, form):
        if form == "safetensors":
            save_file(TENSORS | {"conv.bias": TENSORS["conv.bias"].copy()}, source := pathlib.Path("w.safetensors"))
        elif form == "bfloat16":
            half = {name: array.astype(make.BFLOAT16) for name, array in STORED.items()}
            save_file(half, source := pathlib.Path("w.bin"))  # known by its content
        else:
            source = put("w.pt", getattr(make, form)(TENSORS))
        entry = converting.convert("tiny", source, pathlib.Path("out.safetensors"))
        found = load_file("out.safetensors")
        assert found.keys() == STORED.keys()
        for name, array in STORED.items():
            expected = array.astype(make.BFLOAT16) if form == "bfloat16" else array
            np.testing.assert_array_equal(found[name], expected.astype(np.float32))
        assert json.loads(pathlib.Path("out.json").read_text()) == {"tiny": entry}
        assert entry["source_sha256"] == weights.sha256(source)
        assert weights.verify_file(pathlib.Path("out.safetensors"))

    def test_the_entry(self, cache):
        entry = converting.convert("tiny", put("any.pth"), pathlib.Path("out.safetensors"))
        out = pathlib.Path("out.safetensors").read_bytes()
        assert entry["file"] == "out.safetensors"
        assert entry["sha256"] == hashlib.sha256(out).hexdigest()
        assert entry["bytes"] == len(out)
        modes = {os.stat(name).st_mode for name in ("any.pth", "out.safetensors", "out.json")}
        assert len(modes) == 1, "others may read what they may read otherwise"
        assert (entry["source"], entry["source_sha256"]) == ("any.pth", SHA)
        assert "torchvision" in entry["licence"]  # it is the official file, whatever its name
        assert "ImageNet" in entry["training"]
        other = put("other.pth", make.zipped(make.arrays(1)))
        entry = converting.convert("tiny", other, pathlib.Path("b.safetensors"), training="RadImageNet")
        assert (entry["training"], entry["licence"]) == ("RadImageNet", "unknown")

    def test_the_same_source_gives_the_same_bytes(self, cache):
        a, b = (
            converting.convert("tiny", put(f"{name}.pth"), pathlib.Path(f"{name}.safetensors"))["sha256"]
            for name in "ab"
        )
        assert a == b

    def test_into_the_cache(self, cache, capsys):
        assert main(["weights", "convert", "tiny", str(put(FILE)), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["Output"] == str(cache / "tiny.safetensors")
        assert complete(cache)["sha256"] == printed["sha256"]
        assert main(["weights", "convert", "tiny", FILE]) == 2
        assert "--force" in capsys.readouterr().err
        assert main(["weights", "convert", "tiny", FILE, "--force"]) == 0

    @pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (["lenet", FILE], 2, ("unknown extractor 'lenet'", "tiny")),
            (["tiny", "none.pth"], 3, ("none.pth: no such weight file",)),
            (["tiny", "text.pth"], 3, ("text.pth", "safely")),
            (["tiny", "text.safetensors"], 3, ("text.safetensors", "not a readable safetensors file")),
            (["tiny", "other.pth"], 3, ("other.pth: not the tensors of tiny: conv.bias, norm.mean",)),
            (["tiny", "float8.safetensors"], 3, ("float8.safetensors", "F8_E4M3")),
            (["tiny", FILE, "--out", "out.pth"], 2, ("out.pth", ".safetensors")),
            (["tiny", FILE, "--out", "taken.safetensors"], 2, ("taken.safetensors: exists", "--force")),
            (["tiny", FILE, "--out", "no/out.safetensors"], 2, ("mkdir",)),
            (["tiny", "w.safetensors", "--out", "w.safetensors", "--force"], 2, ("is an input",)),
        ],
    )
    def test_refusals_leave_nothing(self, cache, capsys, argv, code, words):
        put(FILE)
        put("text.pth", b"hello " * 9)
        put("text.safetensors", b"hello " * 9)
        put("taken.safetensors", b"")
        put("other.pth", make.zipped({name: TENSORS[name] for name in ("conv.weight", "norm.weight")}))
        save_file(STORED, "w.safetensors")
        header = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
        put("float8.safetensors", len(header).to_bytes(8, "little") + header + b"\0")
        before = files()
        assert main(["weights", "convert", *argv]) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for word in words:
            assert word in error
        assert files() == before
        assert not cache.exists()

    def test_a_pickle_that_would_run_a_command(self, cache, capsys):
        evil = b"cos\nsystem\n(S'touch ran'\ntR."
        for name, data in (("a.pth", evil), ("b.pth", make.zip_bytes(evil, {})), ("c.pt", b"\x80\x02" + evil)):
            assert main(["weights", "convert", "tiny", str(put(name, data))]) == 3
            assert f"refused: {name}: " in capsys.readouterr().err
        assert not os.path.exists("ran")
        assert not cache.exists()

    def test_a_failure_while_writing_leaves_nothing(self, cache, monkeypatch):
        def full(tensors, path):
            pathlib.Path(path).write_bytes(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(converting, "save_file", full)
        with pytest.raises(OSError, match="no space"):
            converting.convert("tiny", put(FILE), pathlib.Path("out.safetensors"))
        assert os.listdir() == [FILE]

    def test_vgg16_from_a_torchvision_state_dict(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        state, index, channels = {}, 0, 3
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                kernel = rng.standard_normal((width, channels, 3, 3), dtype=np.float32) * (2 / 9 / channels) ** 0.5
                state[f"features.{index}.weight"] = kernel
                state[f"features.{index}.bias"] = rng.standard_normal(width, dtype=np.float32)
                index, channels = index + 2, width
            index += 1
        monkeypatch.chdir(tmp_path)
        put("vgg16.pth", make.zipped(state))
        assert main(["weights", "convert", "vgg16", "vgg16.pth", "--out", "v.safetensors", "-q"]) == 0
        extractor = features.load("vgg16", tmp_path / "v.safetensors")
        assert extractor(jnp.ones((1, 32, 32, 1)), ("conv5_3",))["conv5_3"].shape == (1, 2, 2, 512)
        np.testing.assert_array_equal(
            extractor.params["conv2_1"]["kernel"], state["features.5.weight"].transpose(2, 3, 1, 0)
        )
        flip(tmp_path / "v.safetensors")
        with pytest.raises(WeightsError, match=r"not what v\.json says"):
            features.load("vgg16", tmp_path / "v.safetensors")


class TestFetch:
    def test_the_official_file(self, cache, official):
        seen = []
        path = fetching.fetch("tiny", progress=lambda done, total: seen.append((done, total)))
        assert path == cache / "tiny.safetensors"
        entry = complete(cache)
        assert (entry["source"], entry["source_sha256"]) == (official.url("good", FILE), SHA)
        assert seen[0] == (0, len(PTH))
        assert seen[-1] == (len(PTH), len(PTH))

    def test_what_is_there_is_kept(self, cache, official):
        fetching.fetch("tiny")
        before = (cache / "tiny.safetensors").stat().st_mtime_ns
        fetching.fetch("tiny")
        assert len(official.requests) == 1
        assert (cache / "tiny.safetensors").stat().st_mtime_ns == before
        fetching.fetch("tiny", force=True)
        assert len(official.requests) == 2

    @pytest.mark.parametrize("damage", [flip, lambda path: path.unlink(), lambda path: put(path, b"")])
    def test_what_is_damaged_is_replaced(self, cache, official, damage):
        damage(fetching.fetch("tiny"))
        with pytest.raises(WeightsError, match="rnst weights fetch tiny --force"):
            weights.verify("tiny")
        fetching.fetch("tiny")
        complete(cache)
        assert len(official.requests) == 2

    def test_another_source_is_not_replaced_unasked(self, cache, official):
        fetching.fetch("tiny", put("mine.pth", make.zipped(make.arrays(1))))
        with pytest.raises(FileExistsError, match=r"from another source \(mine.pth\); give --force"):
            fetching.fetch("tiny")
        fetching.fetch("tiny", force=True)
        complete(cache)

    def test_a_redirect(self, cache, mirror):
        fetching.fetch("tiny", mirror.url("moved"))
        complete(cache)

    @pytest.mark.parametrize(
        ("way", "kind", "words"),
        [
            ("wrong", WeightsError, "its sha256 begins with"),
            ("short", WeightsError, f"expected {SHA[:8]}"),
            ("gone", download.FetchError, "answers 404"),
            ("slow", download.FetchError, "no data for 0.3 s; run the command again"),
            ("mute", download.FetchError, "within 0.2 s or no data for 0.3 s"),
            ("broken", download.FetchError, "broke off"),
            ("astray", download.FetchError, "no connection"),
            ("huge", WeightsError, "larger than 4 GiB"),
        ],
        ids=["wrong", "short", "gone", "slow", "mute", "broken", "astray", "huge"],
    )
    def test_bad_servers(self, cache, mirror, way, kind, words):
        with pytest.raises(WeightsError, match=words) as error:
            fetching.fetch("tiny", mirror.url(way), timeout=(0.2, 0.3))
        assert type(error.value) is kind
        assert mirror.url(way) in str(error.value)
        assert not (cache / "tiny.safetensors").exists()
        assert not (cache / "MANIFEST.json").exists()
        # Partial downloads are kept where nothing looks for weights; nothing else is.
        left = in_cache(cache)
        assert left == ([f".downloads/tiny-{SHA[:8]}.pth.part"] if way in ("slow", "broken") else [])
        fetching.fetch("tiny", mirror.url("good"))
        complete(cache)

    @pytest.mark.parametrize("way", ["once", "good", "whole", "elsewhere"])
    def test_an_interrupted_download_goes_on(self, cache, mirror, way):
        with pytest.raises(download.FetchError, match="broke off"):
            fetching.fetch("tiny", mirror.url("once" if way == "once" else "broken"))
        fetching.fetch("tiny", mirror.url(way))
        complete(cache)
        ranges = [span for _, span in mirror.requests]
        assert ranges[:2] == [None, f"bytes={HALF}-"]
        assert len(ranges) == (3 if way == "elsewhere" else 2)

    def test_a_download_that_was_complete_but_not_converted(self, cache, mirror):
        folder = cache / ".downloads"
        folder.mkdir(parents=True)
        put(folder / f"tiny-{SHA[:8]}.pth.part")  # stopped before the rename: the server has no more
        fetching.fetch("tiny", mirror.url("good"))
        assert [span for _, span in mirror.requests] == [f"bytes={len(PTH)}-", None]
        shutil.rmtree(cache)
        folder.mkdir(parents=True)
        put(folder / f"tiny-{SHA[:8]}.pth")  # stopped before the conversion
        fetching.fetch("tiny", mirror.url("gone"))
        complete(cache)

    def test_an_interruption_by_the_user(self, cache, official):
        def stop(done, total):
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetching.fetch("tiny", progress=stop)
        assert all(name.startswith(".downloads/") for name in in_cache(cache))
        fetching.fetch("tiny")
        complete(cache)

    def test_offline(self, cache, monkeypatch, capsys, mirror):
        mirror.server.server_close()  # nobody listens there now
        assert main(["weights", "fetch", "tiny", "--from", mirror.url("good")]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for word in ("no connection", f"get {FILE} on another machine", "rnst weights fetch tiny --from FILE"):
            assert word in error

    def test_from_a_file(self, cache):
        assert main(["weights", "fetch", "tiny", "--from", str(put(FILE)), "-q"]) == 0
        assert complete(cache)["source"] == FILE
        assert os.path.exists(FILE), "a file of the user's must stay"
        entry = json.loads((cache / "MANIFEST.json").read_text())
        assert entry["tiny"]["source_sha256"] == SHA

    @pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (["lenet"], 2, ("unknown extractor 'lenet'",)),
            (["tiny", "--from", "none.pth"], 3, ("none.pth: no such file",)),
            (["tiny", "--from", FILE], 3, ("damaged or another file", f"expected {SHA[:8]}")),
            (["tiny", "--from", "mine.pth", "--sha256", "0" * 64], 3, ("expected 00000000",)),
            (["tiny", "--from", "mine.pth", "--sha256", "abc"], 2, ("64 hexadecimal digits",)),
            (["tiny", "--from", "http://example.invalid/a.pth"], 2, ("not https",)),
            (["tiny", "--from", "ftp://example.invalid/a.pth"], 2, ("not https",)),
            (["tiny", "--from", "file:///a.pth"], 2, ("not https",)),
        ],
    )
    def test_refusals(self, cache, capsys, argv, code, words):
        other = make.zipped(make.arrays(1))
        put(FILE, other)  # its own name says what its sha256 must be
        put("mine.pth", other)
        assert main(["weights", "fetch", *argv]) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for word in words:
            assert word in error
        assert not cache.exists()

    def test_another_file_needs_its_sha256(self, cache, mirror):
        mirror.data = make.zipped(make.arrays(1))
        with pytest.raises(WeightsError, match="--sha256"):
            fetching.fetch("tiny", mirror.url("good"))
        digest = hashlib.sha256(mirror.data).hexdigest()
        fetching.fetch("tiny", mirror.url("good"), sha256=digest.upper())
        assert weights.cached()["tiny"]["source_sha256"] == digest
        assert weights.cached()["tiny"]["licence"] == "unknown"

    def test_secrets_in_an_address_are_not_written_down(self, cache, mirror):
        address = mirror.url("good").replace("http://", "http://me:word@") + "?token=hidden"
        fetching.fetch("tiny", address)
        assert complete(cache)["source"] == mirror.url("good")
        with pytest.raises(download.FetchError) as error:
            fetching.fetch("tiny", address.replace("/good/", "/gone/"), force=True)
        assert "word" not in str(error.value)
        assert "hidden" not in str(error.value)

    def test_a_download_that_is_another_model_is_not_kept(self, cache, mirror):
        mirror.data = make.zipped({"fc.weight": np.zeros(3, np.float32)})
        with pytest.raises(WeightsError, match="not the tensors of tiny"):
            fetching.fetch("tiny", mirror.url("good"), sha256=hashlib.sha256(mirror.data).hexdigest())
        assert in_cache(cache) == []

    def test_without_pooch(self, cache, monkeypatch, capsys):
        monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
        assert main(["weights", "fetch", "tiny"]) == 2
        assert "pip install 'rnst-jax[fetch]'" in capsys.readouterr().err
        assert main(["weights", "fetch", "tiny", "--from", str(put(FILE))]) == 0

    def test_several_at_once(self, cache, monkeypatch):
        names = [f"tiny{i}" for i in range(8)]
        for name in names:
            monkeypatch.setitem(catalogue.MODELS, name, catalogue.MODELS["tiny"])
        put(FILE)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: fetching.fetch(name, FILE), names))
        assert sorted(weights.cached()) == names
        assert all(weights.verify(name) for name in names)

    def test_a_lock_that_was_left_behind(self, cache, monkeypatch):
        cache.mkdir(parents=True)
        lock = put(cache / ".MANIFEST.lock", b"")
        os.utime(lock, (0, 0))
        fetching.fetch("tiny", put(FILE))
        complete(cache)
        put(cache / ".MANIFEST.lock", b"")
        monkeypatch.setattr(store, "_STALE", 0.02)
        os.utime(lock, (4e9, 4e9))  # never stale
        with pytest.raises(WeightsError, match="held by another process"):
            store.add_to_cache(cache, "tiny", {})


class TestListAndVerify:
    def rows(self, capsys):
        assert main(["weights", "list", "--json"]) == 0
        return {(row["name"], row["found"].split(",")[0]): row for row in json.loads(capsys.readouterr().out)}

    def test_json(self, cache, capsys):
        found = self.rows(capsys)
        row = found["vgg16", "package"]
        assert row["verified"] is True
        assert row["sha256"] == weights.sha256(weights.folder() / "vgg16.safetensors")
        absent = found["tiny", "not here: rnst weights fetch tiny"]
        assert (absent["verified"], absent["sha256"], absent["source"]) == (
            False,
            None,
            f"https://mirror.invalid/{FILE}",
        )
        fetching.fetch("tiny", put(FILE))
        row = self.rows(capsys)["tiny", "cache"]
        assert row["found"] == f"cache, {cache / 'tiny.safetensors'}"
        assert row["verified"] is True
        flip(cache / "tiny.safetensors")
        row = self.rows(capsys)["tiny", "cache"]
        assert row["verified"] is False
        assert "sha256" in row["fault"]
        (cache / "tiny.safetensors").unlink()
        assert "missing" in self.rows(capsys)["tiny", "cache"]["fault"]

    def test_text(self, cache, capsys):
        fetching.fetch("tiny", put(FILE))
        assert main(["weights", "list"]) == 0
        out = capsys.readouterr().out
        for word in ("vgg16: vgg16.safetensors, 11.7 MB", "licence: BSD-3-Clause", "sha256: 2a93670f", "verified"):
            assert word in out
        assert f"found: cache, {cache / 'tiny.safetensors'}, verified" in out
        flip(cache / "tiny.safetensors")
        assert main(["weights", "list"]) == 0
        assert "NOT VERIFIED" in capsys.readouterr().out

    def test_verify(self, cache, capsys):
        fetching.fetch("tiny", put(FILE))
        assert main(["weights", "verify"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "tiny: ok"
        flip(cache / "tiny.safetensors")
        assert main(["weights", "verify", "tiny"]) == 1
        assert "rnst weights fetch tiny --force" in capsys.readouterr().out

    def test_a_model_that_is_nowhere(self, cache):
        with pytest.raises(WeightsError, match="run: rnst weights fetch tiny, or give a file"):
            weights.find("tiny")

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"tiny": {}}', '{"tiny": {"file": "../a", "sha256": ""}}', '{"a": 1}']
    )
    def test_a_damaged_manifest(self, cache, capsys, text):
        cache.mkdir(parents=True)
        (cache / "MANIFEST.json").write_text(text)
        assert main(["weights", "list"]) == 1
        assert f"{cache / 'MANIFEST.json'}: not a manifest of weights" in capsys.readouterr().err


def test_the_cache_is_where_pooch_has_it(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch", reason="pooch is not installed; it is the oracle here")
    for value in (str(tmp_path), "relative", "", None):
        if value is None:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert weights.cache_folder() == pathlib.Path(pooch.os_cache("rnst-jax"))


class TestRefusedBeforeReading:
    @pytest.fixture
    def path(self, tmp_path):
        save_file({"a": np.arange(8, dtype=np.float32)}, tmp_path / "w.safetensors")
        return tmp_path / "w.safetensors"

    @pytest.mark.parametrize("claim", [10 << 30, 1 << 63, 2000])
    def test_a_header_that_is_longer_than_the_file(self, path, claim, monkeypatch):
        path.write_bytes(claim.to_bytes(8, "little") + path.read_bytes()[8:])
        monkeypatch.setattr(weights.safetensors, "safe_open", None)  # refused before it is called
        with pytest.raises(WeightsError, match=f"its header claims {claim:,} bytes, the file has"):
            weights.read(path, {"a": (8,)})

    def test_a_header_of_gigabytes_that_are_there(self, path, monkeypatch):
        data = path.read_bytes()
        path.write_bytes((10 << 30).to_bytes(8, "little") + data[8:])
        with path.open("r+b") as stream:
            stream.truncate(11 << 30)  # takes no space
        monkeypatch.setattr(weights.safetensors, "safe_open", None)
        with pytest.raises(WeightsError, match="its header claims"):
            weights.names(path)

    @pytest.mark.parametrize(
        "header", [b'{"a": 1}', b"{" + b"x" * 30, b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}']
    )
    def test_a_wrong_header(self, path, header):
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        with pytest.raises(WeightsError, match="not a readable safetensors file"):
            weights.read(path, {"a": (9,)})

    def test_the_entry_beside_it(self, path):
        assert weights.verify_file(path) is False
        entry = {"file": path.name, "sha256": weights.sha256(path)}
        store.write_entries(path.with_suffix(".json"), {"tiny": entry})
        assert weights.verify_file(path) is True
        assert weights.read(path, {"a": (8,)})["a"][3] == 3
        flip(path)
        with pytest.raises(WeightsError, match=r"is not what w\.json says"):
            weights.read(path, {"a": (8,)})
        path.with_suffix(".json").write_text("{")
        with pytest.raises(WeightsError, match=r"w\.json: not a manifest"):
            weights.read(path, {"a": (8,)})
