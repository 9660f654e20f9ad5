"""Whatever the bytes of a file are, it is read or refused: a short search; scripts/fuzz.py is the long one."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import mutations

CHANGES = st.lists(
    st.tuples(st.sampled_from(mutations.WHATS), st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("kind", mutations.KINDS)
def test_damaged_files_are_read_or_refused(kind, tmp_path, capfd):
    sound = mutations.base(kind, tmp_path)

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    @given(CHANGES)
    def search(changes):
        mutations.attempt(kind, mutations.mutate(sound, changes), tmp_path)

    search()
    assert capfd.readouterr() == ("", "")
