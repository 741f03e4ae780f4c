import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_segtool import _worker_records as records
from napari_segtool._worker_client import WorkerClient
from napari_segtool.core.errors import AxesError, DeviceError, ModelError, ParameterError, SegtoolError, StorageError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.inference._predict import predict_steps
from napari_segtool.worker import ModelKeeper, Worker
from tests.hand_models import saved_unet

STACK = Stack(np.random.default_rng(0).integers(0, 200, (3, 40, 50)).astype(np.uint8), "ZYX", (0.05, 0.004, 0.004), "em")
EXACT = {"device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_unet(tmp_path_factory.mktemp("models") / "flat", values=(1, 2))


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    return saved_unet(tmp_path_factory.mktemp("models") / "heavy", base_channels=64, depth=3)


@pytest.fixture(scope="module")
def client():
    with WorkerClient(threads=1) as client:
        yield client


def folder_of(client):
    return client._child.folder


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_a_prediction_from_the_child_is_the_one_made_here(client, model):
    options = {**EXACT, "probabilities": True, "uncertainty": True}
    there, here = drain(client.predict_steps(model, STACK, **options)), drain(predict_steps(model, STACK, **options))
    assert same(there.labels, here.labels)
    np.testing.assert_allclose(there.probabilities.data, here.probabilities.data, atol=1e-5)
    np.testing.assert_allclose(there.uncertainty.data, here.uncertainty.data, atol=1e-4)
    assert there.history == here.history
    assert there.labels.class_names == here.labels.class_names
    assert there.probabilities.classes == here.probabilities.classes
    assert (there.spacing_um, there.name) == (here.spacing_um, here.name)


def test_of_one_slice_only_that_slice_is_handed_over_and_the_recipe_is_that_of_the_whole(client, model):
    there, here = (drain(ask(model, STACK, planes=[(2,)], **EXACT)) for ask in (client.predict_steps, predict_steps))
    assert same(there.labels, here.labels)
    assert there.labels.shape == (1, 40, 50)
    assert there.history == here.history


DRAWN = Region.of_pixels([(2, 30, 11), (1, 30, 11), (2, 31, 15)])


@pytest.mark.parametrize(
    "target",
    [
        Target(1),
        Target(2, plane=(1,)),
        Target(1, point=(2, 30, 11)),
        Target(1, point=(30, 11), plane=(1,)),
        Target(1, region=DRAWN),
        Target(1, plane=(1,), region=DRAWN, against=2),
    ],
)
def test_an_explanation_from_the_child_is_the_one_made_here(client, model, target):
    there, here = (drain(ask(model, STACK, "gradient", target, show="sign", **EXACT)) for ask in (client.explain_steps, explain_steps))
    np.testing.assert_allclose(there.data, here.data, rtol=1e-3, atol=1e-5 * np.abs(here.data).max())
    assert (there.axes, there.spacing_um, there.name, there.memo["plane"]) == (here.axes, here.spacing_um, here.name, here.memo["plane"])
    assert {**there.memo["history"][0].params, "point": 0} == {**here.memo["history"][0].params, "point": 0}
    assert there.memo["history"][0].inputs == here.memo["history"][0].inputs
    assert there.memo["history"][0].input_sha == here.memo["history"][0].input_sha


def test_a_volume_model_gets_the_whole_volume_for_one_slice(client, tmp_path):
    volumes = saved_unet(tmp_path / "volume", spatial=3, depth=1)
    there, here = (drain(ask(volumes, STACK, planes=[(1,)], **EXACT)) for ask in (client.predict_steps, predict_steps))
    assert same(there.labels, here.labels)
    assert there.history == here.history
    overlay = drain(client.explain_steps(volumes, STACK, "gradcam", Target(1, plane=(1,)), **EXACT))
    assert overlay.shape == (1, 40, 50)


def test_labels_that_come_back_can_be_painted_over(client, model):
    labels = drain(client.predict_steps(model, STACK, **EXACT)).labels.data
    labels[0, 0, 0] = 2
    assert labels[0, 0, 0] == 2


def test_nothing_is_left_in_the_folder_when_requests_are_done(client, model):
    drain(client.predict_steps(model, STACK, **EXACT))
    drain(client.explain_steps(model, STACK, "gradcam", Target(1), **EXACT))
    with pytest.raises(ModelError):
        drain(client.explain_steps(model, STACK, "gradcam", Target(9), **EXACT))
    assert os.listdir(folder_of(client)) == []


@pytest.mark.parametrize(
    ("ask", "kind", "match"),
    [
        (lambda c, m: c.predict_steps("/no/such/model", STACK), ModelError, "no model"),
        (lambda c, m: c.predict_steps(m, Stack(np.zeros((4, 4, 3)), "YXS"), **EXACT), ModelError, "3 colour samples"),
        (lambda c, m: c.predict_steps(m, STACK, device="cuda:77"), DeviceError, "cuda:77"),
        (lambda c, m: c.predict_steps(m, STACK, planes=[(9,)]), AxesError, "plane 9"),
        (lambda c, m: c.explain_steps(m, STACK, "gradcam", Target(1), layer="attic", **EXACT), ParameterError, "attic"),
        (lambda c, m: c.explain_steps(m, STACK, "gradient", Target(1, point=(0, 3, 3), plane=(1,))), AxesError, "does not lie"),
    ],
)
def test_errors_come_through_with_their_kind_message_and_hint_and_the_child_lives_on(client, model, ask, kind, match):
    pid = client.pid
    with pytest.raises(kind, match=match) as refused:
        drain(ask(client, model))
    assert refused.value.hint
    drain(client.predict_steps(model, STACK, **EXACT))
    assert client.pid == pid or not pid


def test_what_is_not_expected_is_said_to_be_our_fault_with_the_details(client, model):
    with pytest.raises(SegtoolError, match="unexpected") as failed:
        drain(client.predict_steps(model, STACK, no_such_option=1, **EXACT))
    assert type(failed.value) is SegtoolError
    assert "Traceback" in failed.value.__notes__[0]


def test_a_cancel_is_answered_within_a_second_and_leaves_no_files(client, model, heavy):
    drain(client.predict_steps(model, STACK, **EXACT))  # warm
    steps = client.predict_steps(heavy, Stack(np.zeros((20, 256, 256), np.uint8), "ZYX"), **EXACT)
    for progress in steps:
        if progress.done > 0:
            break
    begin = time.monotonic()
    steps.close()
    drain(client.predict_steps(model, STACK, **EXACT))  # answered only when the cancelled one has ended
    assert time.monotonic() - begin < 3  # a second, on a machine that also does other things
    assert os.listdir(folder_of(client)) == []


def test_a_request_cancelled_while_it_waits_is_never_run(client, model, heavy):
    first = client.predict_steps(heavy, Stack(np.zeros((4, 128, 128), np.uint8), "ZYX"), **EXACT)
    next(first)
    next(first)
    second = client.predict_steps(model, STACK, **EXACT)
    next(second)
    next(second)
    second.close()
    assert drain(first).labels.shape == (4, 128, 128)
    drain(client.predict_steps(model, STACK, **EXACT))
    assert os.listdir(folder_of(client)) == []


def test_two_threads_may_ask_at_once(client, model):
    expected = drain(client.predict_steps(model, STACK, **EXACT)).labels.data
    got = []
    threads = [threading.Thread(target=lambda: got.append(drain(client.predict_steps(model, STACK, **EXACT)).labels.data)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 3
    assert all(same(labels, expected) for labels in got)


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
def test_a_child_killed_in_the_middle_is_told_and_the_next_request_is_answered(model, heavy):
    with WorkerClient(threads=1) as client:
        steps = client.predict_steps(heavy, Stack(np.zeros((20, 256, 256), np.uint8), "ZYX"), **EXACT)
        while next(steps).done == 0:
            pass
        folder, pid = folder_of(client), client.pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DeviceError, match="signal 9") as died:
            drain(steps)
        assert "again" in died.value.hint
        assert drain(client.predict_steps(model, STACK, **EXACT)).labels.shape == (3, 40, 50)
        assert client.pid not in (0, pid)
        assert not folder.exists()


def test_closing_ends_the_child_and_removes_its_folder_and_it_can_be_used_again(model):
    client = WorkerClient(threads=1)
    assert client.pid == 0
    drain(client.warm_steps(**EXACT))
    process, folder = client._child.process, folder_of(client)
    begin = time.monotonic()
    client.close()
    assert time.monotonic() - begin < 3
    assert process.returncode is not None
    assert not folder.exists()
    assert drain(client.warm_steps(model, **EXACT)) == {"device": "cpu", "precision": "float32"}
    client.close()
    client.close()


def test_closing_in_the_middle_of_a_request_says_so(heavy):
    client = WorkerClient(threads=1)
    steps = client.predict_steps(heavy, Stack(np.zeros((20, 256, 256), np.uint8), "ZYX"), **EXACT)
    while next(steps).done == 0:
        pass
    client.close()
    with pytest.raises(DeviceError, match="closed"):
        drain(steps)


def test_how_to_train_is_proposed_in_the_child_as_it_is_here(client, tmp_path):
    from napari_segtool import api
    from napari_segtool.core.labels import Labels

    y, x = np.mgrid[:64, :64]
    mask = np.stack([np.hypot(y - 32, x - 20 - z) < 12 for z in range(3)]).astype(np.uint8)
    stack = Stack((100 * mask + np.random.default_rng(0).integers(0, 60, mask.shape)).astype(np.uint8), "ZYX", (0.05, 0.01, 0.01))
    asked = {"labels_are": "mask", "device": "cpu", "base_channels": 4, "patch_px": 32, "depth": 2}
    here = api.propose([(stack, mask)], timing=False, **asked)
    api.write(stack, tmp_path / "image.tif")
    for pair in ((stack, mask), (stack, Labels(mask, "ZYX")), (tmp_path / "image.tif", mask)):
        there = drain(client.propose_steps([pair], timing=False, **asked))
        assert (there.settings, there.reasons, there.memory_mb) == (here.settings, here.reasons, here.memory_mb)
    assert drain(client.propose_steps([(stack, mask)], steps=9, **asked)).steps == 9
    with pytest.raises(ParameterError, match="no loss"):
        drain(client.propose_steps([(stack, mask)], loss="dicee", **asked))
    assert not list(folder_of(client).glob("in-*"))


def test_freeing_forgets_the_models_and_starts_no_child_for_it(client, model):
    idle = WorkerClient()
    drain(idle.free_steps())
    assert idle.pid == 0
    drain(client.free_steps())
    drain(client.predict_steps(model, STACK, **EXACT))


def test_the_child_goes_away_with_the_window(tmp_path):
    """Its input ends, whatever ended the window."""
    folder = tmp_path / "private"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, "-m", "napari_segtool.worker", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert json.loads(child.stdout.readline())["kind"] == "ready"
    child.stdin.close()
    assert child.wait(10) == 0
    child.stdout.close()
    assert not folder.exists()


def test_the_child_speaks_json_lines_and_answers_nonsense_with_an_error(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    lines = ['{"id": 1, "verb": "ping"}', "nonsense", '{"id": 2}', '{"id": 3, "verb": "dance"}', '{"id": 4, "verb": "quit"}']
    done = subprocess.run(
        [sys.executable, "-m", "napari_segtool.worker", str(folder)], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["kind"] for answer in answers if answer["id"] in (0, 1)].count("ready") == 1
    assert {(answer["id"], answer["kind"]) for answer in answers} >= {(1, "result"), (0, "error"), (3, "error")}
    assert "dance" in next(answer for answer in answers if answer["id"] == 3)["message"]


def test_what_libraries_print_does_not_mix_with_the_answers(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    code = (
        "import os, sys\nimport napari_segtool.worker as w\n"
        "def chatty(self, request):\n    print('hello'); os.write(1, b'from C\\n'); yield w.Progress(0, 0); return {}\n"
        "w.Worker._free = chatty\nw.main([sys.argv[1]])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdin.write('{"id": 1, "verb": "free"}\n')
    child.stdin.flush()
    kinds = []
    while not kinds or kinds[-1] != "result":
        kinds.append(json.loads(child.stdout.readline())["kind"])
    _, errors = child.communicate(timeout=60)
    assert kinds == ["ready", "progress", "result"]
    assert "hello" in errors
    assert "from C" in errors


def test_asking_loads_no_torch_in_the_windows_process(tmp_path):
    code = (
        "import sys, numpy as np\nfrom napari_segtool._worker_client import WorkerClient\nfrom napari_segtool.core.progress import drain\n"
        "from napari_segtool.core.stack import Stack\n"
        "with WorkerClient(threads=1) as c:\n    drain(c.predict_steps(sys.argv[1], Stack(np.zeros((2, 16, 16)), 'ZYX'), planes=[(0,)], device='cpu'))\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    bundle = saved_unet(tmp_path / "model")
    subprocess.run([sys.executable, "-c", code, str(bundle.path)], check=True, timeout=100)


def test_the_keeper_loads_a_model_once_and_again_when_its_files_change(tmp_path):
    keeper, path = ModelKeeper(), tmp_path / "model"
    saved_unet(path)
    first = keeper.get(str(path), EXACT)
    assert keeper.get(str(path), {**EXACT, "threads": 0, "probabilities": True}) is first
    saved_unet(path, seed=1)
    assert keeper.get(str(path), EXACT) is not first
    keeper.forget()
    assert keeper.get(str(path), EXACT) is not first


def test_the_keeper_keeps_the_two_models_used_last(tmp_path):
    keeper = ModelKeeper()
    for name in "abc":
        saved_unet(tmp_path / name)
    a = keeper.get(str(tmp_path / "a"), EXACT)
    keeper.get(str(tmp_path / "b"), EXACT)
    assert keeper.get(str(tmp_path / "a"), EXACT) is a
    keeper.get(str(tmp_path / "c"), EXACT)
    assert keeper.get(str(tmp_path / "a"), EXACT) is a


def test_running_out_of_memory_is_said_in_plain_words_and_the_next_request_is_answered(tmp_path, monkeypatch):
    def hungry(self, request):
        if request["id"] == 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return {}
        yield

    import torch  # noqa: F401 -- as in a worker that has predicted before

    answers, (inside, outside) = io.StringIO(), os.pipe()
    monkeypatch.setattr(Worker, "_free", hungry)
    monkeypatch.setattr("napari_segtool.worker._PATIENCE_S", 1000)
    with os.fdopen(inside) as requests, os.fdopen(outside, "w") as lines:
        lines.write('{"id": 1, "verb": "free"}\n{"id": 2, "verb": "free"}\n')
        lines.flush()
        worker = Worker(tmp_path / "private", requests, answers)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while answers.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        worker._queue.put(None)
        thread.join(10)
    said = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert (said[1]["kind"], said[1]["type"]) == ("error", "DeviceError")
    assert said[2]["kind"] == "result"


def test_a_full_disk_is_said_before_anything_is_mapped(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left"):
        records.new_array(tmp_path / "a.npy", (10, 10), np.uint8)
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("size", [10, 9_000_000])
def test_arrays_are_taken_from_their_files_which_are_deleted(tmp_path, size):
    path = tmp_path / "a.npy"
    records.new_array(path, (size,), np.float64)[...] = 3
    taken = records.take_array(path)
    assert not path.exists()
    assert (taken == 3).all()
    taken[0] = 4
    assert taken[0] == 4


def test_every_kind_of_error_survives_the_journey():
    for kind in (ModelError, StorageError, DeviceError):
        read = records.read_error(json.loads(json.dumps(records.error_record(kind("what", hint="how"), "why"))))
        assert (type(read), read.message, read.hint, read.__notes__) == (kind, "what", "how", ["why"])


def test_paths_of_models_may_be_text_or_path_objects(client, model):
    with contextlib.chdir(Path(model.path).parent):
        assert same(
            drain(client.predict_steps(Path(model.path.name), STACK, **EXACT)).labels, drain(client.predict_steps(str(model.path), STACK, **EXACT)).labels
        )
