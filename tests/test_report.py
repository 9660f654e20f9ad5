"""``rnst reconstruct --report``: the page holds what it should, needs nothing else, and works in a browser."""

import base64
import html
import json
import pathlib
import re
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from rnst_jax.cli.main import main
from rnst_jax.io.planes import to_slices
from tests.scans import ARGV, QUICK, SIZE, files, make, page, refused, save, volume

ARGS = [*ARGV, "--config", "short.toml", "-q", "--report", "page.html"]


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """The current folder with small scans, a reference, and settings that are quick to compile."""
    monkeypatch.chdir(tmp_path)
    make()
    save("reference.nii.gz", volume(0, 0.0)[0].astype(np.float32))
    pathlib.Path("short.toml").write_text(QUICK)
    return tmp_path


def picture(data, name):
    (found,) = [v for v in data["volumes"] if v["name"] == name]
    return np.frombuffer(base64.b64decode(found["base64"]), np.uint8).reshape(data["shape"])


def test_the_page_shows_the_volumes(scans):
    assert main([*ARGS, "--reference", "reference.nii.gz"]) == 0
    text, data = page()
    assert data["shape"] == [3, SIZE, SIZE]
    assert (data["mm"], data["plane"]) == ([6.0, 2.0, 2.0], "axial")
    assert [v["name"] for v in data["volumes"]] == ["input", "output", "change", "style", "reference", "error"]
    from rnst_jax.io import nifti

    written = to_slices(nifti.read(pathlib.Path("out.nii.gz")), "axial").stack
    inside = written > np.percentile(written, 60)
    shown = picture(data, "output")
    assert np.corrcoef(shown[inside].astype(float), written[inside])[0, 1] > 0.999
    difference = written - to_slices(nifti.read(pathlib.Path("content.nii.gz")), "axial").stack
    change = picture(data, "change")
    assert (change[difference > 0] >= 127).all()
    assert (change[difference < 0] <= 128).all()
    assert "Scores against the reference" in text
    assert text.count("<tr>") > 20
    assert "For research only" in text


def test_the_page_needs_nothing_else(scans):
    assert main(ARGS) == 0
    text, data = page()
    assert [v["name"] for v in data["volumes"]] == ["input", "output", "change", "style"]
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)\s*=\s*"(?!#)|url\((?!#)|@import|fetch\(', text)
    assert str(scans) not in text


def test_the_reference_changes_no_byte_of_the_result(scans):
    assert main([*ARGS, "--reference", "reference.nii.gz"]) == 0
    with_reference = pathlib.Path("out.nii.gz").read_bytes()
    assert main([*ARGS, "--force"]) == 0
    assert pathlib.Path("out.nii.gz").read_bytes() == with_reference


def test_some_slices_in_another_plane(scans):
    for name, subject in (("tall.nii.gz", 0), ("truth.nii.gz", 0), ("style.nii.gz", 1)):
        content = volume(subject, 0.05, count=24)[0]
        content[..., :5] = content[..., -5:] = 20 * np.abs(np.sin(content[..., :5]))  # air below and above
        save(name, content.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1]))
    argv = ["reconstruct", "tall.nii.gz", *ARGS[2:], "--plane", "coronal", "--slices", "20:23"]
    assert main([*argv, "--reference", "truth.nii.gz"]) == 0
    _, data = page()
    assert (data["shape"], data["plane"]) == ([24, 3, SIZE], "coronal")
    assert picture(data, "style").any(axis=(0, 2)).all()


def test_names_are_no_markup(scans):
    pathlib.Path("content.nii.gz").rename("<script>alert(1)<script>.nii.gz")
    assert main(["reconstruct", "<script>alert(1)<script>.nii.gz", *ARGS[2:]]) == 0
    text, _ = page()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_what_is_refused(scans, capsys):
    save("small.nii.gz", volume(0, 0.0, count=2)[0].astype(np.float32))
    report = ARGS.index("--report")
    refused(capsys, [*ARGS[:report], "--reference", "reference.nii.gz"], 2, "--reference is for the report")
    refused(capsys, [*ARGS[: report + 1], "page.pdf"], 2, "ends in .html")
    refused(capsys, [*ARGS, "--reference", "none.nii.gz"], 3, "none.nii.gz")
    over = [ARGV[0], ARGV[1], "reference.nii.gz", *ARGS[3:], "--reference", "reference.nii.gz"]
    refused(capsys, [*over, "--force"], 2, "reference.nii.gz: is an input")
    refused(capsys, [*ARGS, "--reference", "small.nii.gz"], 3, "small.nii.gz", "resample it to the content")
    pathlib.Path("page.html").write_text("mine")
    refused(capsys, ARGS, 2, "page.html: exists")
    assert files()["page.html"] == b"mine"


CHECK = """
<script>
const told = [], canvas = document.getElementById("both");
const look = () => canvas.width + "x" + canvas.height + ":" + canvas.toDataURL().length + ":" + at.textContent;
const press = (node, value, event) => { node.value = value; node.dispatchEvent(new Event(event)); told.push(look()); };
told.push(look());
press(slice, 0, "input");
press(wipe, 0, "input");
press(wipe, 100, "input");
const coronal = document.querySelector("input[value=coronal]");
coronal.checked = true;
press(coronal, "coronal", "change");
document.body.dataset.told = JSON.stringify([told, document.documentElement.scrollWidth, innerWidth]);
</script>
"""


def in_browser(text, script, folder, width=1280):
    """What a script at the end of a page leaves in data-told; there must be no message on the console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    (folder / "checked.html").write_text(text.replace("</body>", f"{script}</body>"))
    run = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--window-size={width},900", f"--user-data-dir={folder}/profile", "--virtual-time-budget=5000", "--dump-dom",
         (folder / "checked.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in run.stderr
    told = re.search(r'data-told="(.*?)"', run.stdout)
    assert told, run.stderr[-500:]
    return json.loads(html.unescape(told[1]))


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(scans, width):
    assert main([*ARGS, "--reference", "reference.nii.gz"]) == 0
    looks, content, window = in_browser(page()[0], CHECK, scans, width)
    first, other_slice, all_output, all_input, coronal = looks
    assert first.startswith(f"{SIZE}x{SIZE}:")
    assert first.endswith(":2 of 3")
    assert other_slice.endswith(":1 of 3")
    assert all_output != all_input
    assert coronal.startswith(f"{SIZE}x3:")
    assert coronal.endswith(f":{SIZE // 2 + 1} of {SIZE}")
    assert content <= window, "the page is wider than the window"
    assert nib.load("out.nii.gz").shape == (SIZE, SIZE, 3)


SORT = """
<script>
const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
const told = [names()];
for (const column of ["scan", "scan", "head_psnr", "head_psnr"]) {
  const head = heads.find(head => head.textContent === column);
  head.firstElementChild.focus();
  head.firstElementChild.click();
  const values = [...table.tBodies[0].rows].map(row => parseFloat(row.cells[head.cellIndex].dataset.value));
  told.push([...names(), head.getAttribute("aria-sort"), document.activeElement.textContent, values]);
}
const links = [...document.links].map(link => link.getAttribute("href"));
document.body.dataset.told = JSON.stringify([told, links, document.documentElement.scrollWidth <= innerWidth]);
</script>
"""


def test_the_index_of_a_folder(scans):
    # free pixels keep the noise, and the order by scores is to be that of a reconstruction
    taps = 'style_taps = ["conv1_1"]\ncontent_taps = ["conv1_1"]\n'
    pathlib.Path("short.toml").write_text(f'preset = "fast"\ndepths = [2]\ndenoiser = "gaussian"\n{taps}')
    for folder in ("in", "truth"):
        pathlib.Path(folder).mkdir()
    for n, noise in enumerate((0.2, 0.02)):
        save(f"in/{n}.nii.gz", volume(0, noise, count=1)[0].astype(np.float32))
        save(f"truth/{n}.nii.gz", volume(0, 0.0, count=1)[0].astype(np.float32))
    pathlib.Path("in/<b>bad.nii").write_bytes(b"no")
    argv = [*ARGS[: ARGS.index("--report")], "--report", "pages", "--reference", "truth"]
    argv[1:3] = ["in", "out"]
    assert main(argv) == 4
    assert sorted(path.name for path in pathlib.Path("pages").iterdir()) == ["0.html", "1.html", "index.html"]
    text = pathlib.Path("pages/index.html").read_text()
    assert "<b>" not in text
    assert "3 scans, 1 of them failed" in text
    assert "://" not in text
    told, links, fits = in_browser(text, SORT, scans, 390)
    assert links == ["1.html", "0.html"], "as the rows were sorted last: the cleaner scan first"
    assert fits
    bad, noisy, clean = "<b>bad.nii", "0.nii.gz", "1.nii.gz"
    assert set(told[0]) == {bad, noisy, clean}
    assert told[1][:5] == [bad, noisy, clean, "ascending", "scan"]
    assert told[2][:5] == [clean, noisy, bad, "descending", "scan"]
    assert told[3][2:5] == [bad, "ascending", "head_psnr"]
    assert told[4][2:5] == [bad, "descending", "head_psnr"]
    assert told[3][5][0] < told[3][5][1] == told[4][5][0]
    # scans that are done are neither made nor scored wrongly a second time
    assert main([*argv, "--resume"]) == 4
    assert re.findall(r"data-value", pathlib.Path("pages/index.html").read_text()) == re.findall(r"data-value", text)


def test_reports_of_a_folder_have_their_own_places(scans, capsys):
    pathlib.Path("in").mkdir()
    save("in/a.nii", volume(0, 0.1, count=1)[0].astype(np.float32))
    argv = ["reconstruct", "in", "out", *ARGS[3 : ARGS.index("--report")]]
    for more, words in (
        (["--report", "r.html"], "go into a folder"),
        (["--report", "r", "--reference", "reference.nii.gz"], "is a folder of scans"),
        (["--reference", "in"], "give --report FOLDER"),
    ):
        assert main([*argv, *more]) == 2
        assert words in capsys.readouterr().err
    assert not pathlib.Path("out").exists()
