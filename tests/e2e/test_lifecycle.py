"""How the server starts, tells its health, and stops."""

import os
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import spar
from spard_process import PATIENCE, Spard, environment
from test_cancellation import start_search

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def bad_folder(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    return folder


def health_of(channel):
    return health_pb2_grpc.HealthStub(channel)


def channel_to(server):
    return grpc.insecure_channel(server.address, [("grpc.enable_http_proxy", 0)])


def test_health_is_told_by_check_and_watch(server):
    with channel_to(server) as channel:
        for service in ("", "spar.v1.ModelService", "spar.v1.ExplanationService"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert health_of(channel).Check(request, timeout=PATIENCE).status == SERVING
            watch = health_of(channel).Watch(request, timeout=PATIENCE)
            assert next(watch).status == SERVING
            watch.cancel()
        unknown = health_pb2.HealthCheckRequest(service="nobody")
        with pytest.raises(grpc.RpcError) as error:
            health_of(channel).Check(unknown, timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health_of(channel).Watch(unknown, timeout=PATIENCE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_a_bad_folder_does_not_keep_the_good_one_from_being_served(
        folders, bad_folder, cache):
    with Spard(f"--model=bad={bad_folder}", f"--model=good={folders['tiny']}",
               cache=cache) as spard:
        with spar.Client(spard.address) as client:
            assert [model.name for model in client.models()] == ["models/good"]
            assert client.predict([1, 2]).predictions
            with pytest.raises(spar.Error) as error:
                client.predict([1, 2], model="bad")
            assert error.value.reason == "MODEL_NOT_FOUND"
        assert any("config.json" in line for line in spard.log.seen)
        assert spard.stop() == 0


def test_all_models_can_be_required(bad_folder, folders, cache):
    run = subprocess.run(
        [os.environ["SPARD"], "--listen", "127.0.0.1:0", "--require-all-models",
         f"--model=bad={bad_folder}", f"--model=good={folders['tiny']}",
         f"--cache-dir={cache}"],
        capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment())
    assert run.returncode == 1
    assert "config.json" in run.stderr


def test_two_servers_get_two_ports(folders, cache):
    model = f"--model=tiny={folders['tiny']}"
    with Spard(model, cache=cache) as first, Spard(model, cache=cache) as second:
        assert first.address != second.address


def test_an_idle_server_stops_at_once(folders, cache):
    with Spard(f"--model=tiny={folders['tiny']}", "--drain-seconds=3600",
               cache=cache) as spard:
        assert spard.stop() == 0


def test_sigterm_drains(folders, cache, slow_prompt):
    with Spard(f"--model=slow={folders['slow']}", "--drain-seconds=3600",
               cache=cache) as spard, channel_to(spard) as channel:
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watch).status == SERVING
        with spar.Client(spard.address) as client:
            search = start_search(client, slow_prompt)
            spard.terminate()
            assert next(watch).status == NOT_SERVING
            with pytest.raises(spar.Error) as error:
                client.predict([1, 2], model="slow")
            assert (error.value.code, error.value.reason) == ("UNAVAILABLE", "DRAINING")
            assert spard.is_alive()  # what was accepted goes on
            search.cancel()
        watch.cancel()
        assert spard.wait() == 0


def test_draining_has_an_end(folders, cache, slow_prompt):
    with Spard(f"--model=slow={folders['slow']}", "--drain-seconds=0",
               cache=cache) as spard, spar.Client(spard.address) as client:
        search = start_search(client, slow_prompt)
        spard.terminate()
        with pytest.raises(spar.Error) as error:
            list(search)
        assert error.value.code in ("UNAVAILABLE", "CANCELLED")
        assert spard.wait() == 0
