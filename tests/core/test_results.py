import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segtool.core.errors import AxesError, DataError, FormatError, ParameterError
from napari_segtool.core.labels import Labels, Paint, as_label_array, smallest_dtype
from napari_segtool.core.progress import Progress, drain
from napari_segtool.core.result import Scores, Step, data_sha
from napari_segtool.core.settings import read_settings, settings_path, worker_threads


@given(st.integers(0, 2**32 - 1))
def test_labels_take_the_smallest_unsigned_type_that_holds_them(largest):
    dtype = smallest_dtype(largest)
    assert np.iinfo(dtype).max >= largest
    assert dtype.itemsize == 1 or np.iinfo(f"u{dtype.itemsize // 2}").max < largest


@pytest.mark.parametrize("array", [np.array([-1, 2]), np.array([0.5]), np.array([np.nan]), np.array([1j]), np.array([2**33])])
def test_what_cannot_be_a_label_is_refused(array):
    with pytest.raises(DataError):
        as_label_array(array)


def test_whole_floats_and_booleans_are_labels():
    assert as_label_array(np.array([0.0, 300.0])).dtype == np.uint16
    assert as_label_array(np.array([True, False])).tolist() == [1, 0]


def test_labels_and_paint_check_their_axes():
    for kind in (Labels, Paint):
        with pytest.raises(AxesError):
            kind(np.zeros((2, 2), np.uint8), "ZYX")


def test_the_hash_of_data_depends_on_values_shape_and_type_and_not_on_memory_order():
    data = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert data_sha(data) == data_sha(np.asfortranarray(data))
    assert len({data_sha(data), data_sha(data.reshape(6, 4)), data_sha(data.astype(np.uint16)), data_sha(data + 1)}) == 4


def test_a_step_survives_json():
    step = Step("segment:kmeans", {"clusters": 4}, "0.1.0", "00ff", 7)
    assert Step.from_dict(json.loads(json.dumps(step.as_dict()))) == step


def test_undefined_scores_are_null_in_json():
    assert json.loads(json.dumps(Scores({"1": {"dice": float("nan")}}, {"v_rand": 0.5}).as_dict())) == {"classes": {"1": {"dice": None}}, "v_rand": 0.5}


def test_draining_reports_every_step_and_returns_the_result():
    def work():
        yield Progress(1, 4)
        yield Progress(4, 4)
        return 42

    seen = []
    assert drain(work(), seen.append) == 42
    assert [progress.fraction for progress in seen] == [0.25, 1.0]


def test_an_error_in_the_reporter_still_lets_the_work_clean_up():
    cleaned = []

    def work():
        try:
            yield Progress(1, 2)
        finally:
            cleaned.append(True)

    def fail(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(work(), fail)
    assert cleaned == [True]


def test_errors_keep_their_hint_through_a_pickle():
    error = pickle.loads(pickle.dumps(FormatError("broken", hint="mend it")))
    assert (type(error), error.message, error.hint) == (FormatError, "broken", "mend it")


def test_settings_come_from_the_environment_before_the_file(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"threads": 3, "device": "cpu"}')
    environment = {"SEGTOOL_CONFIG": str(path), "SEGTOOL_THREADS": "5"}
    settings = read_settings(environment)
    assert (settings.threads, settings.device) == (5, "cpu")
    assert worker_threads(settings) == 5


@pytest.mark.parametrize("text", ["{", "[1]", '{"threads": -1}', '{"colour": 1}'])
def test_a_damaged_settings_file_is_named_or_its_value_is(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ParameterError):
        read_settings({"SEGTOOL_CONFIG": str(path)})


def test_without_an_override_the_settings_lie_in_the_config_folder():
    assert settings_path({"XDG_CONFIG_HOME": "/somewhere"}).name == "settings.json"
