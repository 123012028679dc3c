"""A client that knows nothing but the address: everything by reflection."""

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


class Reflected:
    """Calls methods by name with plain dicts."""

    def __init__(self, address):
        self._channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
        self.database = ProtoReflectionDescriptorDatabase(self._channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def call(self, service, method, **fields):
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = self.message(described.input_type.full_name)(**fields)
        response = self.message(described.output_type.full_name)
        kind = (self._channel.unary_stream if described.server_streaming
                else self._channel.unary_unary)
        return kind(f"/{service}/{method}", request_serializer=type(request).SerializeToString,
                    response_deserializer=response.FromString)(request, timeout=100)


@pytest.fixture(scope="module")
def reflected(server):
    return Reflected(server.address)


def test_the_services_can_be_listed(reflected):
    services = set(reflected.database.get_services())
    assert {"spar.v1.ModelService", "spar.v1.ExplanationService",
            "spar.v1.AblationService", "spar.v1.DecompositionService",
            "grpc.health.v1.Health"} <= services


def test_a_search_needs_no_stubs(reflected, queries):
    prompt, answer = queries[0]
    responses = list(reflected.call(
        "spar.v1.ExplanationService", "Crystallize", model="models/demo",
        prompt={"text": prompt}))
    events = [r.event for r in responses if r.WhichOneof("content") == "event"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    explanation = responses[-1].explanation
    assert explanation.target.text.strip() == answer
    checked = reflected.call(
        "spar.v1.ExplanationService", "Verify", model="models/demo",
        certificate_json=explanation.certificate.canonical_json)
    verdicts = reflected.pool.FindEnumTypeByName("spar.v1.CertificateVerdict")
    assert verdicts.values_by_number[checked.verdict].name.startswith(
        "CERTIFICATE_VERDICT_VALID")


def test_errors_carry_their_details(reflected):
    with pytest.raises(grpc.RpcError) as error:
        reflected.call("spar.v1.ModelService", "Predict", model="models/demo",
                       prompt={"tokens": {"ids": [1, -5]}})
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(error.value.trailing_metadata())
    assert b"TOKEN_OUT_OF_RANGE" in trailers["grpc-status-details-bin"]
    assert b"prompt.tokens.ids[1]" in trailers["grpc-status-details-bin"]
